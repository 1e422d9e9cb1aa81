"""Operations on a whole site that use several parts: audit and observe.

Modules that only runs need are loaded on first use, as attributes of this package: ``operations.observe``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
