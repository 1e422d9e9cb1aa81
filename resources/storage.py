"""The module that ``dagster.yaml`` names for our storage, which is in :mod:`aurora_assets.instance.storage`."""

from aurora_assets.instance.storage import HomeInstance, SqliteStorage

__all__ = ["HomeInstance", "SqliteStorage"]
