"""Pages of the site over HTTP: are they there, how fast, and with which title?"""

import re
import time
from contextlib import closing

import requests

from aurora_platform.health.models import Page
from aurora_platform.text import printable

_MOST = 1 << 16  # bytes; a title stands at the begin
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Pages:
    """Gets a page within ``seconds``; see :class:`aurora_platform.health.snapshot.Fetcher`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, name: str, url: str) -> Page:
        """Look at a page; what goes wrong stands in it."""
        began = time.monotonic()
        try:
            # Neither the environment's proxies nor a .netrc: the page is asked as the site file says.
            with requests.Session() as session:
                session.trust_env = False
                with closing(session.get(url, timeout=self.seconds, stream=True)) as answer:
                    text = _begin(answer, began + self.seconds)
        except requests.Timeout:
            return Page(name=name, url=url, error=f"no answer within {self.seconds:.0f} s")
        except requests.RequestException as error:
            return Page(name=name, url=url, error=_why(error))
        title = _TITLE.search(text)
        return Page(
            name=name,
            url=url,
            status=answer.status_code,
            seconds=round(time.monotonic() - began, 3),
            title=" ".join(title[1].decode("utf-8", "replace").split())[:200] if title else None,
        )


def _why(error: requests.RequestException) -> str:
    """The cause in a few words; requests wraps it several times."""
    said = re.findall(r"\[Errno -?\d+\] [^'\")]+", str(error))
    return said[-1] if said else printable(f"{type(error).__name__}: {error}")


def _begin(answer: requests.Response, until: float) -> bytes:
    """The first bytes; a page that comes drop by drop is cut at the bound."""
    text = b""
    for block in answer.iter_content(4096):
        text += block
        if len(text) >= _MOST or b"</title>" in text.lower() or time.monotonic() > until:
            break
    return text
