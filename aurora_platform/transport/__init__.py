"""Clients of the outside world, and the small protocols that they implement: SSH, rsync, checksums, processes, mail.

The kinds of hosts and of mail, with their heavy libraries (Fabric, Paramiko), are loaded when first used, through here:
``transport.ssh_host``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
