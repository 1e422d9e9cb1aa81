from . import archive_host as archive_host
from . import local_archive as local_archive
from . import local_host as local_host
from . import mail as mail
from . import ssh_host as ssh_host
from . import ssh_session as ssh_session
