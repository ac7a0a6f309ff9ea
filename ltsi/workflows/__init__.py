"""One file per command: from a configuration to a result."""
