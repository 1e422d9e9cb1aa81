"""Raw and products -> the archive, and the evidence that what is there is whole."""
