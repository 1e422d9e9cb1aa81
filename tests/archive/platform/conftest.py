"""Tests with Dagster's daemon have it as a fixture."""

from tests.daemon import clock, daemon

__all__ = ["clock", "daemon"]
