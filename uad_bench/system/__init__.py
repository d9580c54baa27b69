"""What the operating system gives: locks, processes, whole files, optional packages."""
