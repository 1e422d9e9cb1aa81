"""The module that ``dagster.yaml`` names for our run launcher, which is in :mod:`aurora_assets.instance.launcher`."""

from aurora_assets.instance.launcher import ProcessRunLauncher

__all__ = ["ProcessRunLauncher"]
