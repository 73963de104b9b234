"""Readers for four benchmarks of DeepFashion."""
