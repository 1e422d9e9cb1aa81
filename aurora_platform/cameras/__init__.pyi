from . import checks as checks
from . import pixels as pixels
from . import refresh as refresh
from . import thumbnails as thumbnails
from . import videos as videos
