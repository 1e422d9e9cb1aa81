"""Raw media of a sky camera -> catalogue, daily videos, hourly thumbnails and pixels.

The modules with heavy libraries (PyAV, Pillow, Zarr) are loaded when they are first used, through this package:
``cameras.videos``. What they say of their work is in :mod:`aurora_platform.cameras.reports`, which loads none.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
