"""The few ways in which Aurora fails, each with a message that names the file or host and the next step.

What is expected of the world (an unreadable file, an unsettled one, a name that is not ours) is not an error: it is
counted and named in a report. These exceptions are for what stops a piece of work.
"""


class AuroraError(Exception):
    """Base of all errors of our own."""


class SiteError(AuroraError):
    """The site file is wrong; the message names the key and what it should be."""


class HostError(AuroraError):
    """A host did not answer, refused us, or broke off. Usually passes: the next pass tries again."""


class TransferError(AuroraError):
    """rsync ended early. What has arrived is kept; the next pass resumes."""


class BusyError(AuroraError):
    """Somebody else holds the lock for longer than we wait."""


class MediaError(AuroraError):
    """An image or clip cannot be used for what it was meant for."""


class CatalogError(AuroraError):
    """The catalogue is missing or is not ours."""


class PixelsError(AuroraError):
    """The pixel store does not hold what was asked for."""
