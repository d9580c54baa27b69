"""What is wrong or odd with a file, a scan, a dataset or a registration."""
