"""The Lightning module, its callbacks and checkpoints."""
