"""Mirror of the instrument hosts: scan, plan, fetch, publish, check. It never deletes a published file.

``mirror.sync`` and ``mirror.checks`` are loaded when they are first used. Reports are in
:mod:`aurora_platform.mirror.reports`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
