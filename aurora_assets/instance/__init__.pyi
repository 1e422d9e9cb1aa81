from . import check_visibility as check_visibility
from . import record_retention as record_retention
from . import records as records
