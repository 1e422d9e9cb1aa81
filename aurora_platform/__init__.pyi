from .archive.ledger import Ledger as Ledger
from .cameras.reader import open_pixels as open_pixels
from .cameras.reader import original_jpeg as original_jpeg
from .config.site import Site as Site
from .config.site import load_site as load_site
from .layout import Layout as Layout
