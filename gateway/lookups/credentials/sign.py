"""A signature over each request."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from uuid import uuid4

from gateway.declared.request import FilledRequest
from gateway.declared.signature import PART, SignAuth
from gateway.lookups.credentials.placing import FORM, put, with_headers, with_params


class Signer:
    """Signs requests as a table says."""

    def __init__(
        self,
        auth: SignAuth,
        now: Callable[[], float] = time.time,
        nonce: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """Take its table, the clock in Unix seconds, and what makes a text that is used once."""
        self._auth, self._now, self._nonce = auth, now, nonce

    def start(self) -> None:
        """Do nothing: it is ready."""

    async def close(self) -> None:
        """Do nothing."""

    async def add(self, request: FilledRequest) -> tuple[FilledRequest, str]:
        """Return the request with its signature."""
        auth = self._auth
        kind, _ = auth.place.where
        parts = {"timestamp": self._timestamp(), "nonce": self._nonce(), "secret": str(auth.secret)}
        request = with_headers(request, _fill_all(auth.headers, parts))
        if auth.params:
            request = with_params(request, kind, _fill_all(auth.params, parts))
        signature = self._digest(_fill(auth.over, parts | _parts_of(request)).encode())
        return put(request, auth.place, signature), ""

    async def renew(self, used: str) -> bool:  # noqa: ARG002 - the next request has another one anyway
        """Return False: the secret stays."""
        return False

    def _timestamp(self) -> str:
        now, form = self._now(), self._auth.timestamp
        if form == "s":
            return str(int(now))
        if form == "ms":
            return str(int(now * 1000))
        return datetime.fromtimestamp(now, UTC).strftime(form)

    def _digest(self, text: bytes) -> str:
        is_keyed, name = self._auth.algorithm.startswith("hmac-"), self._auth.algorithm.removeprefix("hmac-")
        if is_keyed:
            raw = hmac.new(self._auth.secret.encode(), text, name).digest()
        else:
            raw = hashlib.new(name, text, usedforsecurity=False).digest()
        match self._auth.encode:
            case "hex":
                return raw.hex()
            case "HEX":
                return raw.hex().upper()
            case _:
                return base64.b64encode(raw).decode()


def _parts_of(request: FilledRequest) -> dict[str, str]:
    """Return the parts of a request that can be signed. Its parameters are decoded, in the order of names."""
    path, _, query = request.target.partition("?")
    body = (request.body or b"").decode()
    pairs = parse_qsl(query, keep_blank_values=True)
    if request.body is not None and request.content_type.startswith(FORM):
        pairs += parse_qsl(body, keep_blank_values=True)
    pairs.sort()
    return {
        "method": request.method,
        "path": path,
        "sorted_query": "&".join(f"{name}={value}" for name, value in pairs),
        "sorted_pairs": "".join(f"{name}{value}" for name, value in pairs),
        "body": body,
    }


def _fill_all(texts: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
    return {name: _fill(text, parts) for name, text in texts.items()}


def _fill(text: str, parts: Mapping[str, str]) -> str:
    return PART.sub(lambda match: parts[match[1]], str(text))
