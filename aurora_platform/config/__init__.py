"""The site file as typed settings, one model per file: values only, no derived paths."""
