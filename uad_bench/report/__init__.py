"""Tables and figures made from cell records."""
