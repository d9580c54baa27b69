"""The training loop: what it asks for, what it is fed, what it keeps and where it stops."""
