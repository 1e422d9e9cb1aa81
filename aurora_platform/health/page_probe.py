"""Probes the pages of the site over HTTP: status, response time and title."""

import re
import time
from contextlib import closing

import requests

from aurora_platform.health.models import Page
from aurora_platform.text import printable

_MAX_BYTES = 1 << 16  # a title stands near the start
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class PageProbe:
    """Loads a page within ``seconds``; see :class:`aurora_platform.health.snapshot.Fetcher`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, name: str, url: str) -> Page:
        """Load a page; an error is part of the result."""
        began = time.monotonic()
        try:
            # Without the environment's proxies and .netrc: the request depends on the site file alone.
            with requests.Session() as session:
                session.trust_env = False
                with closing(session.get(url, timeout=self.seconds, stream=True)) as response:
                    text = _read_start(response, began + self.seconds)
        except requests.Timeout:
            return Page(name=name, url=url, error=f"no answer within {self.seconds:.0f} s")
        except requests.RequestException as error:
            return Page(name=name, url=url, error=_cause(error))
        title = _TITLE.search(text)
        return Page(
            name=name,
            url=url,
            status=response.status_code,
            seconds=round(time.monotonic() - began, 3),
            title=" ".join(title[1].decode("utf-8", "replace").split())[:200] if title else None,
        )


def _cause(error: requests.RequestException) -> str:
    """Return the cause; requests wraps it several times."""
    causes = re.findall(r"\[Errno -?\d+\] [^'\")]+", str(error))
    return causes[-1] if causes else printable(f"{type(error).__name__}: {error}")


def _read_start(response: requests.Response, until: float) -> bytes:
    """Read the first bytes; a page that arrives too slowly is cut at the time limit."""
    text = b""
    for block in response.iter_content(4096):
        text += block
        if len(text) >= _MAX_BYTES or b"</title>" in text.lower() or time.monotonic() > until:
            break
    return text
