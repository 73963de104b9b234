"""Metrics and statistics, as pure functions on arrays."""
