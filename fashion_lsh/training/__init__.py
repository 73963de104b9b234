"""LightningModules, optimizers and the fit loop."""
