"""Observe only: what is wrong, since when, where, and what to look at next. Nothing here repairs anything."""
