"""What stands before every route: no key, no answer; no request that is too large, too slow, or one too many.

Every request gets a number. A key is looked for in ``Authorization: Bearer``, nowhere else. Whatever is refused is one sentence and
a code, and an error of our own says nothing but that it happened: no content, no key and no path of a file goes into an answer
or a log.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.exceptions import HTTPException

from amparo.child import stumble
from amparo.clock import now
from amparo.known.service.keys import Key, KeyRing
from amparo.known.service.memory import wipe
from amparo.known.service.metrics import Meters
from amparo.known.service.refused import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN: Final = frozenset(("/health/live", "/health/ready"))  # what a supervisor asks, which has no key
ROUTES: Final = frozenset((*OPEN, "/v1/match", "/v1/match/picture", "/v1/match/pictures", "/metrics", "/openapi.json"))
GRID: Final = 0.005  # seconds; answers leave on a grid, so that their time does not tell what was found
BLOCK: Final = 1024  # bytes; answers are as long as a multiple of it, for the same reason
_DRAINED: Final = 1 << 18  # bytes of a refused request that are still read, so that the refusal can be


@dataclass
class Request:
    """One request as the routes see it: its number, the key that asks, when it came (monotonic), and the language of sentences."""

    number: str
    key: Key | None
    began: float
    language: str
    receive: Receive
    headers: dict[bytes, bytes]
    body_seen: bool = field(default=False)

    def need(self, scope: str) -> Key:
        """The key, where it has the scope. Raises Refused."""
        if self.key is None or not (self.key.may_match if scope == "match" else scope in self.key.scopes):
            raise Refused(403, "no_scope", f"This key lacks the scope {scope}: ask the operator for one that has it.")
        return self.key

    @property
    def length(self) -> int | None:
        """How many bytes the body claims to have; None where it does not say."""
        text = self.headers.get(b"content-length", b"")
        return int(text[:20]) if text.isdigit() else None

    async def body(self, most: int, seconds: float) -> bytearray:
        """All of the body, at most ``most`` bytes in at most ``seconds``. Raises Refused."""
        taken = bytearray()
        try:
            async for piece in self.pieces(most, seconds):
                taken += piece
        except BaseException:
            wipe(taken)
            raise
        return taken

    async def pieces(self, most: int, seconds: float) -> AsyncIterator[bytes]:
        """The body piece by piece, as :meth:`body`."""
        if self.headers.get(b"content-encoding", b"identity") not in (b"", b"identity"):
            raise Refused(415, "encoded", "Send the body as it is, without Content-Encoding.")
        if (self.length or 0) > most:
            raise _too_large(most)
        deadline = asyncio.get_running_loop().time() + seconds
        size = 0
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "gone", "The connection was closed before the request was whole.")
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                yield piece
                if not message.get("more_body", False):
                    self.body_seen = True
                    return
        except TimeoutError:
            raise Refused(
                408, "too_slow", f"The request did not come within {seconds:.0f} seconds: send it in smaller parts."
            ) from None


def _too_large(most: int) -> Refused:
    return Refused(413, "too_large", f"The body may have {most:,} bytes: send less at once.")


class Gate:
    """An ASGI application before another."""

    def __init__(self, app: App, ring: KeyRing, meters: Meters, translate: Callable[[str, str], str]) -> None:
        self._app, self._ring, self._meters, self._translate = app, ring, meters, translate
        self._at_once: dict[str, int] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, or the start and stop of the service."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.monotonic()
        headers = {name: value for name, value in scope["headers"] if name != b"authorization"}
        route = scope["path"] if scope["path"] in ROUTES else "other"
        portuguese = headers.get(b"accept-language", b"")[:2].lower() == b"pt"
        request = Request(secrets.token_hex(8), None, began, "pt" if portuguese else "en", receive, headers)
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request.number.encode())]
            await send(message)

        self._meters.count("amparo_in_flight")
        try:
            try:
                if scope["path"] not in OPEN:
                    request.key = self._known(scope["headers"])
                scope["amparo"] = request
                await self._in_turn(request, scope, counted)
            except HTTPException as error:
                raise _of_router(error) from None
        except Refused as why:
            self._meters.count("amparo_refusals", why.code)
            await self._refuse(request, why, counted)
        except Exception as error:
            # Neither what it says nor where it points is told: it may quote what was asked.
            print(f"amparo: request {request.number}: {stumble(error)}", file=sys.stderr, flush=True)  # noqa: T201
            sentence = "The service failed on this request: tell its operator the number."
            await self._refuse(request, Refused(500, "failed", sentence), counted)
        finally:
            self._meters.count("amparo_in_flight", by=-1)
            self._meters.count("amparo_requests", route, str(status))
            self._meters.observe("amparo_request_seconds", route, time.monotonic() - began)

    def _known(self, headers: list[tuple[bytes, bytes]]) -> Key:
        given = [value for name, value in headers if name == b"authorization"]
        kind, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        key = self._ring.find(token.strip() if kind.lower() == b"bearer" else b"", now())
        if self._ring.problem is not None:
            raise Refused(503, "no_keys", "The service cannot read its keys, so it answers nobody: tell its operator.")
        if key is None:
            raise Refused(401, "no_key", "Send a key that is in force, as Authorization: Bearer and the key.")
        return key

    async def _in_turn(self, request: Request, scope: MutableMapping[str, Any], send: Send) -> None:
        """Pass the request on, where its key has not too many at work already."""
        if request.key is None:
            await self._app(scope, request.receive, send)
            return
        number = request.key.id
        if self._at_once.get(number, 0) >= request.key.at_once:
            raise Refused(429, "too_many_at_once", f"This key may have {request.key.at_once:,} requests at work.", 1)
        self._at_once[number] = self._at_once.get(number, 0) + 1
        try:
            await self._app(scope, request.receive, send)
        finally:
            self._at_once[number] -= 1
            if not self._at_once[number]:
                del self._at_once[number]

    async def _refuse(self, request: Request, why: Refused, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if why.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if why.retry_after is not None:
            headers.append((b"retry-after", str(why.retry_after).encode()))
        if not request.body_seen and not await self._drained(request):
            headers.append((b"connection", b"close"))
        said = self._translate(why.sentence, request.language)
        body = json.dumps({"code": why.code, "error": said, "request": request.number}, ensure_ascii=False).encode()
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": why.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _drained(self, request: Request) -> bool:
        """Read a little of what is still coming: who sends hears no answer while the connection is closed on them."""
        if request.headers.get(b"expect") is not None:
            return False
        if not request.headers.get(b"content-length", b"0").strip(b"0") and b"transfer-encoding" not in request.headers:
            return True
        left = _DRAINED
        try:
            async with asyncio.timeout(1.0):
                while left > 0:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        return False
                    if not message.get("more_body", False):
                        return True
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        return False


def _of_router(error: HTTPException) -> Refused:
    if error.status_code == 405:
        return Refused(405, "no_method", "This route is asked in another way: /openapi.json says how.")
    return Refused(404, "no_route", "There is nothing here: /openapi.json has what can be asked.")


async def settled(request: Request) -> None:
    """Wait until the next point of the grid since the request came."""
    gone = time.monotonic() - request.began
    await asyncio.sleep(math.ceil(gone / GRID) * GRID - gone)


def padded(body: bytes) -> bytes:
    """A JSON text made longer with spaces, to a multiple of BLOCK."""
    return body.ljust(-(-len(body) // BLOCK) * BLOCK)
