"""Instrument host -> raw root: scan, plan, fetch, check. Additive: nothing is ever deleted here.

What only runs need is loaded when it is first used, through this package: ``mirror.sync``. What it says of its work is
in :mod:`aurora_platform.mirror.reports`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
