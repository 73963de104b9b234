"""Speed benchmarks against the bare libraries.  Not part of the package."""
