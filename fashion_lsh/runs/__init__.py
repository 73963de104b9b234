"""Run folders: config, cache, results."""
