"""A certificate for the loopback address."""

import asyncio
import subprocess
from pathlib import Path


async def self_signed(directory: Path) -> tuple[Path, Path]:
    """Return the paths of a certificate that is its own authority, and of its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    await asyncio.to_thread(
        subprocess.run,
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key
