"""Runs that start because something happened. There are none yet: runs are started by hand, or as backfills."""
