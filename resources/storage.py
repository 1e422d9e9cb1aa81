"""The name by which a ``dagster.yaml`` finds our storage; it is in :mod:`aurora_assets.instance.storage`."""

from aurora_assets.instance.storage import HomeInstance, SqliteStorage

__all__ = ["HomeInstance", "SqliteStorage"]
