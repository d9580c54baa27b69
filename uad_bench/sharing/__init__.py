"""What leaves this machine, and what comes from another: archives of results, and detectors."""
