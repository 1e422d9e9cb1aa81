"""Faults below the code under test: a library in front of the C library, and what a test sets in it."""
