"""Losses: one file each. A loss compares states with item vectors and knows nothing else."""
