"""What is done for each job of a plan, by one function per kind."""
