"""``mailer``: the way out for mails of the site's alerts, as a Dagster resource."""

from dagster import ConfigurableResource

from aurora_platform import transport
from aurora_platform.config.health import Alerts
from aurora_platform.transport.protocols import MailTransport


class MailerResource(ConfigurableResource):
    """Mails as the site file says. It holds nothing: credentials are read from the environment when a mail is sent."""

    def of(self, alerts: Alerts) -> MailTransport:
        """The transport that the settings name, or the first that is ready."""
        return transport.mail.Mailer(alerts)
