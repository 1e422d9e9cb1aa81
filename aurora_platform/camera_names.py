"""The sky camera's names that several parts know it by: its stream, its two cameras, and their products."""

STREAM = "wxcam"
CAMERAS = ("fish_hdr", "pano_hdr")
CATALOG = f"{STREAM}/catalog"
DAILY = ("daily_video", "pixels")
HOURLY, LATEST = "hourly_thumbnails", "latest_video"


def product(camera: str, name: str) -> str:
    """The asset key of a product, with slashes."""
    return f"{STREAM}/{camera}/{name}"


def products(*names: str) -> list[str]:
    """The catalogue, and these products of both cameras; all of them where none is named."""
    wanted = names or (*DAILY, HOURLY, LATEST)
    return [CATALOG, *(product(camera, name) for camera in CAMERAS for name in wanted)]
