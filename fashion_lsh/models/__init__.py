"""The things that learn: one nn.Module each."""
