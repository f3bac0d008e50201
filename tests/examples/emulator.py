"""An emulator of a vendor's API: its token endpoint, its envelopes, and how it says no."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from aiohttp import web


class Emulator(ABC):
    """One API: well, ``throttled`` or ``down``. A subclass follows the source that its example names."""

    example: ClassVar[str]
    environ: ClassVar[dict[str, str]] = {}
    found: ClassVar[dict[str, str]]
    """The variables of a callback for a thing that is there."""
    missing: ClassVar[dict[str, str]]
    """The same for one that is not."""
    variables: ClassVar[dict[str, str]]
    """The answer for the first."""
    none: ClassVar[dict[str, str]]
    """The answer for the second."""
    renews = True
    """True if a dead token is renewed; else the callback is denied."""
    throttles = True
    """True if the API has a way to ask for a pause."""

    def __init__(self) -> None:
        """Begin well."""
        self.throttled = self.down = False
        self.tokens = 0
        self.good = ""
        self.wrong: list[str] = []
        """What was not as the vendor wants it."""

    def kill_token(self) -> None:
        """Let every token that was given out be dead."""
        self.good = ""

    def grant(self) -> str:
        """Give out a token."""
        self.tokens += 1
        self.good = f"tok{self.tokens}"
        return self.good

    def want(self, *, that: bool, what: str) -> None:
        """Note what is not as the vendor wants it."""
        if not that:
            self.wrong.append(what)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        text = await request.text()
        if (granted := self.token(request, text)) is not None:
            return granted
        if self.down:
            return web.Response(status=503, text="<html>Service Unavailable</html>", content_type="text/html")
        if self.throttled:
            return self.busy()
        if not self.accepts(request, text):
            return self.denied()
        return self.answer(request, text)

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer a request for a token; None for any other one."""
        return None

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """True if the request has good credentials: by default a bearer token."""
        return request.headers.get("Authorization") == f"Bearer {self.good}"

    def busy(self) -> web.StreamResponse:
        """Ask for a pause."""
        return web.json_response({}, status=429, headers={"Retry-After": "10"})

    def denied(self) -> web.StreamResponse:
        """Refuse the credentials."""
        return web.json_response({}, status=401)

    @abstractmethod
    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a question, as it is documented."""


def reply(value: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - any JSON value
    """Return a JSON response."""
    return web.json_response(value, status=status)
