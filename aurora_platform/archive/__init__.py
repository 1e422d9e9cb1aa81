"""Raw and products -> the archive, and the evidence that what is there is whole.

What only runs need is loaded when it is first used, through this package: ``archive.stores``. What it says of its work
is in :mod:`aurora_platform.archive.reports`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
