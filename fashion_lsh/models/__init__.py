"""The things that learn: one LightningModule each."""
