"""How bright healthy tissue is in one scan, and which regions are brighter: without a network."""
