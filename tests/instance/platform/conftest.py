"""The fixture of Dagster's daemon."""

from tests.daemon import clock, daemon

__all__ = ["clock", "daemon"]
