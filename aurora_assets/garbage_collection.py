"""The garbage collector, kept from looking through what lives as long as the process: Dagster, modules, definitions.

The definitions import this first. Dagster is loaded here and put out of the collector's sight: a full collection while
our own modules are loaded would look through all of it, for a fifth of the time that they take.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as _loaded_first  # noqa: F401

gc.freeze()


@contextmanager
def for_good() -> Iterator[None]:
    """What is made in the block lives as long as the process: its collector looks through it neither now nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
