"""Copies raw files and products to the archive, and keeps the evidence that the copies are complete.

The modules that only runs need are loaded lazily through this package, as ``archive.stores``. The reports of its steps
are in :mod:`aurora_platform.archive.reports`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
