"""How each product is made, as a version: what is made by another recipe counts as changed, and is made anew.

And what the assets say of the products before any is made. Apart from the modules that make them, because those need
libraries that nobody needs who only wants to know what there is.
"""

CATALOG = "catalog/1"
VIDEO = "video/1"
THUMBNAIL = "thumbnail/1"
PIXELS = "pixels/1"

LATEST_CLIPS = 24
"""Of how many hourly clips the latest video is."""
THUMBNAIL_SIDE = 540
"""px, at most"""
STORAGE_POLICY = (
    "Each chunk of 'image' is one JPEG file of the camera, byte for byte; nothing is re-encoded. "
    "A day is a group, written whole and replaced whole; days are independent."
)
"""What the pixel store says of itself."""
