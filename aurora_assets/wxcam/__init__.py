"""Raw media of the sky camera -> catalogue, daily videos, hourly thumbnails and pixels."""
