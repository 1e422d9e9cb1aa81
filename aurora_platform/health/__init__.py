"""Health of a site: snapshot, freshness, assessment, report and alerts. It observes only and repairs nothing.

Modules with heavy libraries (Jinja2, requests) and those that only runs need are loaded on first use, as attributes of
this package: ``health.alerts``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
