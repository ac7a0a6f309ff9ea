"""Which examples the events of a split make, and which of them are positive; one way per file."""
