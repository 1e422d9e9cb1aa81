"""``mailer``: sends the mails of the site's alerts, as a Dagster resource."""

from dagster import ConfigurableResource

from aurora_platform import transport
from aurora_platform.config.health import Alerts
from aurora_platform.transport.protocols import MailTransport


class MailerResource(ConfigurableResource):
    """Sends mails with the settings of the site file. Credentials are read from the environment for every mail."""

    def of(self, alerts: Alerts) -> MailTransport:
        """The transport of the settings, or the first one that is available."""
        return transport.mail.Mailer(alerts)
