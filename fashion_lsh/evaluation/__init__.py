"""Evaluation protocol: encode, search, score, with baselines, robustness and latency."""
