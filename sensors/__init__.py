"""Sensors, which start runs and write check results when something happens: new files, a changed day, a failed run."""
