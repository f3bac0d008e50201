"""The table of credentials that are worked out for each request: ``type = "sign"``."""

import re
from collections.abc import Iterator
from typing import Literal

from gateway.declared.placing import PlaceTable, check_place
from gateway.declared.reading import Fault, Secret
from gateway.declared.values import HAS_EDGE, HEADER_NAME, Table, has_edge
from gateway.declared.wording import unknown

PARTS = ("method", "path", "sorted_query", "sorted_pairs", "body", "timestamp", "nonce", "secret")
"""What ``over`` may hold, each in braces."""

STAMPS = ("timestamp", "nonce")
"""What ``params`` and ``headers`` may hold."""

PART = re.compile(r"\{([^{}]*)\}")

Algorithm = Literal["md5", "sha1", "sha256", "sha512", "hmac-md5", "hmac-sha1", "hmac-sha256", "hmac-sha512"]


class SignAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="sign"):
    """A digest over parts of the request, as many Chinese APIs and webhooks want it.

    ``params`` are added beside the signature (in the query, the form or the JSON body, as ``place`` says),
    ``headers`` to the headers, before the digest is made.
    """

    secret: Secret
    over: str
    place: PlaceTable
    algorithm: Algorithm = "hmac-sha256"
    encode: Literal["hex", "HEX", "base64"] = "hex"
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    timestamp: str = "s"


def check_sign(path: str, auth: SignAuth) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    if not auth.secret or has_edge(auth.secret):
        yield Fault(f"{path}.secret", HAS_EDGE if auth.secret else "must not be empty")
    yield from _check_parts(f"{path}.over", auth.over, PARTS)
    if "{" not in auth.over:
        yield Fault(f"{path}.over", f"must hold a part of the request, such as {{{PARTS[2]}}}")
    for table in ("params", "headers"):
        for name, text in getattr(auth, table).items():
            yield from _check_parts(f"{path}.{table}.{name}", text, STAMPS)
            if table == "headers" and not HEADER_NAME.fullmatch(name):
                yield Fault(f"{path}.headers.{name}", "a header's name is letters, digits and hyphens")
    if auth.timestamp not in {"s", "ms"} and "%" not in auth.timestamp:
        yield Fault(f"{path}.timestamp", "must be 's', 'ms', or a format such as '%Y-%m-%d %H:%M:%S'")
    place: PlaceTable | None = auth.place  # None: it could not be read
    if auth.params and place is not None and place.header is not None:
        message = "stand beside a signature in `query`, `form` or `json`; with a header use `headers`"
        yield Fault(f"{path}.params", message, (f"{path}.place",))
    yield from check_place(f"{path}.place", place)


def _check_parts(path: str, text: str, known: tuple[str, ...]) -> Iterator[Fault]:
    for name in PART.findall(text):
        if name not in known:
            if isinstance(text, Secret):  # what stands in its braces may be a part of a value
                yield Fault(path, f"has braces that are not one of {', '.join(known)}")
            else:
                yield Fault(path, unknown(f"{{{name}}}", f"one of {', '.join(known)}", known))
