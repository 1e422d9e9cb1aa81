"""Raw media of a sky camera -> catalogue, daily videos, hourly thumbnails and pixels."""
