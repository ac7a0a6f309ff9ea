"""The run folder and the ledger of many runs."""
