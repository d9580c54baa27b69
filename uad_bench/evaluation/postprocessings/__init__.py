"""The built-in post-processings, one per file."""
