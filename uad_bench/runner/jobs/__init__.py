"""The jobs of a run: frozen values that say what to do, and the functions that do it."""
