from . import checks as checks
from . import sync as sync
