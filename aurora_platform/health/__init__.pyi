from . import alert_rules as alert_rules
from . import alerts as alerts
from . import assessment as assessment
from . import freshness as freshness
from . import models as models
from . import page_probe as page_probe
from . import report as report
