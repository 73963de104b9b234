"""Training: LightningModules, optimizers and callbacks."""
