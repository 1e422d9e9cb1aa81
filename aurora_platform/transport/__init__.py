"""Clients of the outside world, and the small protocols that they implement: SSH, rsync, checksums, processes, mail.

The modules with heavy libraries (Fabric, Paramiko) are loaded when they are first used, through this package:
``transport.ssh_host``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
