"""How far a reconstruction or a segmentation is from what it should be."""
