"""What diseases do to a simulated brain."""
