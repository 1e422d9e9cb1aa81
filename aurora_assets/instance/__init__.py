"""Dagster's instance: launcher, storage and records. Reaches below Dagster's public interface.

The modules that load its databases (SQLAlchemy, Alembic) are loaded when they are first used, through this package:
``instance.records``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
