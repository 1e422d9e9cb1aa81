"""What an operator does with a whole site, above the parts: audit.

What only runs need is loaded when it is first used, through this package: ``operations.observe``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
