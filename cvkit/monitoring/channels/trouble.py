"""What can go wrong on the way, in words of cvkit's own: texts of libraries may hold addresses and passwords."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPException, RemoteDisconnected
from urllib.error import URLError

CERTIFICATES = {  # OpenSSL's X509_V_ERR_*
    10: "its certificate has run out",
    9: "its certificate is not valid yet",
    18: "its certificate is signed by itself",
    19: "its certificate is signed by an authority that is not known here",
    20: "its certificate is signed by an authority that is not known here",
    62: "its certificate is for another name",
    64: "its certificate is for another address",
}
AUTHORITIES = "let the server use a certificate that is valid, or name your own authority in SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong, whether a person must mend it, and what to do."""

    words: str
    lasting: bool = False
    remedy: str = "check the address and the network; it is tried again"


CLOSED = Trouble("it closed the connection before it had answered")
LATE = Trouble("time was up", remedy="see whether it is slow, or raise timeout_s; it is tried again")


def trouble(error: Exception) -> Trouble:
    """The words for an error of `urllib`, `http.client`, `ssl` or `socket`; nothing of its text is in them."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        return trouble(error.reason)
    if isinstance(error, TimeoutError):
        return LATE
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, (RemoteDisconnected, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return CLOSED
    if isinstance(error, HTTPException):
        return Trouble("what answers there does not speak HTTP", lasting=True, remedy="check the address and its port")
    if isinstance(error, OSError):
        return _of_network(error)
    return Trouble("its address cannot be used", lasting=True, remedy="check the address")


def _of_tls(error: ssl.SSLError) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(CERTIFICATES.get(error.verify_code, "its certificate is not valid"), True, AUTHORITIES)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return CLOSED
    return Trouble("no TLS could be agreed on with it", True, "check address, port and the server's TLS version")


def _of_network(error: OSError) -> Trouble:
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        return Trouble("DNS does not know its name" if unknown else "DNS did not answer for its name")
    if isinstance(error, ConnectionRefusedError):
        return Trouble("nothing listens there")
    name = errno.errorcode.get(error.errno or 0, "")
    return Trouble(f"the network failed ({name})" if name else "the network failed")
