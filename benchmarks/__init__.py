"""How fast each piece is, side by side with what users would pick instead: one file per piece."""
