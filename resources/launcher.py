"""The name by which a ``dagster.yaml`` finds our run launcher; it is in :mod:`aurora_assets.instance.launcher`."""

from aurora_assets.instance.launcher import ProcessRunLauncher

__all__ = ["ProcessRunLauncher"]
