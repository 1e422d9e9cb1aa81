"""Assets and checks of sources and mirrors."""
