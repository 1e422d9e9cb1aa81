"""Deprecated since 0.2, kept for one release: the camera is in :mod:`aurora_platform.cameras`."""
