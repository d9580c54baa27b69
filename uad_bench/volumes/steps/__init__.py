"""From arrays to arrays: read, strip, register, resample, normalise, slice."""
