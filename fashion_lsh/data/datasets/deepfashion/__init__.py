"""Readers of four DeepFashion benchmarks."""
