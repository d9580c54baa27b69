"""Reading a BIDS dataset: its files by name, and which mask belongs to which scan."""
