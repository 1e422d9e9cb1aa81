from . import alerts as alerts
from . import page_probe as page_probe
from . import report as report
