"""What it means that no response came from a backend, or half of one. No text here shows an address."""

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway.core.errors import (
    BackendRejected,
    BackendUnavailable,
    BackendUntrusted,
    BadBackendReply,
    NoAnswer,
)
from gateway.lookups.connector import MAX_HEADER, MAX_HEADERS, BrokenConnection, HeadTooLong
from gateway.lookups.ear import LARGEST_HEAD

# X509_V_ERR_… of OpenSSL.
_UNTRUSTED = {
    9: "the backend's certificate is not valid yet",
    10: "the backend's certificate has expired",
    62: "the backend's certificate is for another host",
    64: "the backend's certificate is for another host",
}
_BROKEN = {
    "ServerDisconnectedError": "closed before an answer came",
    "ClientPayloadError": "in the midst of the reply",
}
_UNKNOWN_AUTHORITY = "the backend's certificate is signed by an authority that this machine does not know"


def failure_of(error: Exception, *, proxied: bool = False) -> NoAnswer:
    """Return the failure that an exception of aiohttp's client means.

    ``proxied``: the request went to a proxy, so it is the proxy's name that was looked up.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return _failure_of_tls(error)
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        status = getattr(error, "status", None)
        return BackendUnavailable(f"the proxy answered {status}" if status else "no connection to the proxy")
    if isinstance(error, aiohttp.ClientResponseError | HeadTooLong):
        return _failure_of_head(error)
    if isinstance(error, ValueError):  # aiohttp's InvalidURL, or its fault with a header
        return BackendRejected("the inputs make no valid request")
    return BackendUnavailable(_why_broken(error, "proxy" if proxied else "backend"))


def _why_broken(error: Exception, named: str) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"no connection: the {named}'s name has no address"
        case aiohttp.ClientConnectorError():
            return f"no connection: {_words(error.os_error)}"
    return f"the connection broke: {_words(error)}"


def _words(error: BaseException) -> str:
    """Return the system's words for a failure, which name no address; else ours, or its type."""
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and one.errno is not None and one.errno > 0:
            return os.strerror(one.errno)
    kind = str(error) if isinstance(error, BrokenConnection) else type(error).__name__
    return _BROKEN.get(kind, kind)


def _failure_of_tls(error: aiohttp.ClientSSLError) -> NoAnswer:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        code = getattr(error.certificate_error, "verify_code", 0)
        return BackendUntrusted(_UNTRUSTED.get(code, _UNKNOWN_AUTHORITY))
    cause = error.os_error
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return BackendUntrusted("the backend does not speak TLS: is its url http://?")
    return BackendUnavailable(f"no TLS: {type(cause).__name__}")


def _failure_of_head(error: aiohttp.ClientError) -> NoAnswer:
    if isinstance(error, HeadTooLong):
        return BadBackendReply(f"the headers are too long: over {LARGEST_HEAD} bytes")
    if isinstance(error.__cause__, HttpProcessingError) and isinstance(
        error.__cause__.__cause__, LineTooLong
    ):
        return BadBackendReply(f"a header is too long: over {MAX_HEADER} bytes")
    if "Too many headers" in str(error):
        return BadBackendReply(f"too many headers: over {MAX_HEADERS}")
    return BadBackendReply("the backend does not speak HTTP")
