"""From a NIfTI file to slices in template space: read, check, resample, normalise, store."""
