"""From a folder to its scans: which file is what, and who is who. No volume is read here."""
