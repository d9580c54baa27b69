"""From bytes to arrays: NIfTI, masks, DICOM, downloads."""
