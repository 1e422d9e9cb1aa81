"""Aurora: the data platform of a remote sky observatory, as a plain library without Dagster.

``import aurora_platform as aurora`` is the public API; its names stay between versions, or have an upgrade step in
CHANGELOG.md. Each name is loaded when it is first used.

>>> import aurora_platform as aurora
>>> site = aurora.load_site("sites/demo.yaml")  # doctest: +SKIP
>>> aurora.Layout.of(site).camera.catalog  # doctest: +SKIP
>>> aurora.open_pixels(store, "fish_hdr", "2026-08-18", "2026-08-19")  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
