"""Models: distributions over the next item, given a history and a now. They know no Lightning, no Hydra, no files."""
