"""Plan cells, execute them, record them; resume what was interrupted."""
