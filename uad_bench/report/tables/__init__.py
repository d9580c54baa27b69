"""Tables from the records of cells."""
