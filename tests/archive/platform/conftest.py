"""The fixtures of tests with Dagster's daemon."""

from tests.daemon import clock, daemon

__all__ = ["clock", "daemon"]
