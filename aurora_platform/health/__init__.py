"""Observe only: what is wrong, since when, where, and what to look at next. Nothing here repairs anything.

The modules that a run alone needs, some with heavy libraries (Jinja2, requests), are loaded when they are first used,
through this package: ``health.alerts``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
