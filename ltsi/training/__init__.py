"""Training: the single LightningModule, its callbacks, checkpoints that are whole or absent."""
