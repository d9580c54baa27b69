"""The prepared dataset: made, kept and read again; the atlas made of it."""
