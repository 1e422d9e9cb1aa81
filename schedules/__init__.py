"""Runs that start because of the clock. There are none yet: runs are started by hand, or as backfills."""
