"""Runs that start because something happened: a file arrived, or an old day changed."""
