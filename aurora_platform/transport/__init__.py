"""Clients of the outside world, and the small protocols that they implement: SSH, rsync, checksums, processes, mail."""
