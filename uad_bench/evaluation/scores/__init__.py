"""How many voxels have which score, exactly, and what follows from it."""
