from . import backlog as backlog
from . import change_guard as change_guard
from . import locations as locations
from . import push_plan as push_plan
from . import restore_drill as restore_drill
from . import retention_run as retention_run
from . import stores as stores
from . import verify_and_publish as verify_and_publish
