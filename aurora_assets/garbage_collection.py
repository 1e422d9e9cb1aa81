"""Excludes from garbage collection what lives as long as the process: Dagster, modules and definitions.

The definitions import this module first and call :func:`resume` last. Objects that exist at either time are frozen
(``gc.freeze``). Between the two calls the collection threshold is a thousand times the usual one, so the collector
still runs if loading fails.
"""

import gc

_USUAL = gc.get_threshold()


def _pause() -> None:
    gc.freeze()
    gc.set_threshold(1000 * _USUAL[0], *_USUAL[1:])


def resume() -> None:
    """End of loading: freeze all loaded objects, and collect new objects as usual."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


_pause()
