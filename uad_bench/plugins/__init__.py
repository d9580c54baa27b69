"""Methods and datasets as plugins: found, listed, loaded and checked."""
