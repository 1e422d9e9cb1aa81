"""The garbage collector, kept from looking through what lives as long as the process: Dagster, modules, definitions.

The definitions import this first. Dagster is loaded here with the collector off, which would run 250 times meanwhile
and find nothing (a twentieth of the whole time), and is put out of its sight: a full collection while our own modules
are loaded would look through all of it.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def for_good() -> Iterator[None]:
    """What is made in the block lives as long as the process: its collector looks through it neither now nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


with for_good():
    import dagster  # noqa: F401
