"""The products of a sky camera, made from its raw media: catalogue, daily videos, hourly thumbnails and pixels.

The modules with heavy libraries (PyAV, Pillow, Zarr) are loaded on first use, through this package: ``cameras.videos``.
Their reports are in :mod:`aurora_platform.cameras.reports`, which loads no heavy library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
