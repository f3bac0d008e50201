"""Certificates and keys in PEM: what is wrong with them, said without anything of their content."""

import ssl


def explain(error: Exception) -> str:
    """Return why certificates cannot be used: the reason of an OSError, of which ssl.SSLError is one."""
    if isinstance(error, ssl.SSLError):
        if "MISMATCH" in str(error.reason):
            return "the key does not belong to the certificate"
        return f"not a certificate and its key, as PEM: {error.reason or error}"
    return str(error)
