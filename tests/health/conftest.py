"""Fixtures for the tests of health."""

from collections.abc import Iterator

import pytest

from tests.health.relay import Relay


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A relay that takes every mail."""
    relay = Relay().start()
    yield relay
    relay.stop()
