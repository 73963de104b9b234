"""The four benchmarks of DeepFashion."""
