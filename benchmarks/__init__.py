"""How fast, beside bare libraries in the same run.  Not part of the package."""
