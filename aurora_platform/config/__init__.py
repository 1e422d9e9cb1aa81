"""The site file as typed settings, one model a file: values only, no derived path."""
