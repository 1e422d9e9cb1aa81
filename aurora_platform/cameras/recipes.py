"""The recipe versions of the products: a product of another recipe version counts as changed and is made again.

Also holds the constants that the asset descriptions use. They are not in the modules that make the products, because
those modules load heavy libraries.
"""

CATALOG = "catalog/1"
VIDEO = "video/1"
THUMBNAIL = "thumbnail/1"
PIXELS = "pixels/1"

LATEST_CLIPS = 24
"""Number of hourly clips in the latest video."""
THUMBNAIL_SIDE = 540
"""px, at most"""
STORAGE_POLICY = (
    "Each chunk of 'image' is one JPEG file of the camera, byte for byte; nothing is re-encoded. "
    "A day is a group, written whole and replaced whole; days are independent."
)
"""An attribute of the pixel store."""
