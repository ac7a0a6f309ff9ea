"""Raw files to event tables, one adapter per file."""
