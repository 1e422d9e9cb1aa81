"""Dagster's instance: launcher, storage and records. Uses Dagster's private interface.

Modules that need the database libraries (SQLAlchemy, Alembic) are loaded at their first use through this package, for
example ``instance.records``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
