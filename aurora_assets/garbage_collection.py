"""The garbage collector, kept from looking through what lives as long as the process: Dagster, modules, definitions.

The definitions import this first and call :func:`resume` last. What other modules of the process have loaded by then is
put out of the collector's sight, and so is what was loaded in between; while that is going on, a collection begins
a thousand times later than usual. Were loading to fail, the collector would still run.
"""

import gc

_USUAL = gc.get_threshold()


def _pause() -> None:
    gc.freeze()
    gc.set_threshold(1000 * _USUAL[0], *_USUAL[1:])


def resume() -> None:
    """Loading is over: collect as usual from here on, among what is made from here on."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


_pause()
