"""Addresses: what of one may be shown, and whether it stays on this machine."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

# Who asks, and what he is allowed by, in an address: of one that was made a path, too. A password may hold anything.
SECRETS = re.compile(
    r"(?P<start>\b[a-z][a-z0-9+.-]+:/{1,2})(?:[^\s:/?'\"]*:[^\s'\"]*@|[^\s/?'\"]*@)?(?P<place>[^\s?'\"]*)"
    r"(?:\?[^\s'\"]*=[^\s'\"]*)?",
    re.I,
)


def plain(text: str) -> str:
    """`text` with its addresses as they may be shown: without who asks, and what follows `?` where it has values.

    >>> plain("no answer from https://me:secret@host/images?token=secret")
    'no answer from https://host/images'
    """
    return SECRETS.sub(r"\g<start>\g<place>", text)


def is_loopback(url: str) -> bool:
    """Whether an address, or the name of a host, stays on this machine.

    >>> is_loopback("http://127.0.0.1:9093/x"), is_loopback("localhost"), is_loopback("https://a.example")
    (True, True, False)
    """
    host = (urlsplit(url).hostname if "://" in url else url.strip("[]")) or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
