"""LightningModules, and how they are fitted."""
