"""Clients for the outside world, and the protocols that they implement: SSH, rsync, checksums, processes, mail.

Modules with heavy libraries (Fabric, Paramiko) are loaded at their first use as attributes of this package, for
example ``transport.ssh_host``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
