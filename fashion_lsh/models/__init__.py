"""Networks, hash losses and baselines, without their training."""
