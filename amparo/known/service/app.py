"""The routes, as OpenAPI describes them, and what each does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi import Request as Http
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.responses import Response

import amparo
from amparo.clock import iso, now
from amparo.known.hits import Hit
from amparo.known.service.asking import QUALITY, Answers, Asked, Batch, Refusal, read_batch
from amparo.known.service.audit import Audit
from amparo.known.service.gate import App, Gate, Request, padded, settled
from amparo.known.service.holding import Holding
from amparo.known.service.keys import Key, KeyRing
from amparo.known.service.matching import match
from amparo.known.service.memory import wipe
from amparo.known.service.metrics import Meters
from amparo.known.service.pictures import Decoders, Lost
from amparo.known.service.quotas import Quotas
from amparo.known.service.refused import Refused
from amparo.known.service.settings import Settings
from amparo.known.service.upload import parts
from amparo.known.table import Damaged

WATCHED = 0.5  # seconds between two looks whether the index changed
MOST_QUICK = 1024  # fingerprints
MOST_PARSED = 1 << 16  # bytes of JSON that the event loop reads itself
MOST_HELD = 512 << 20  # bytes of pictures in one process

_CRASHED = "The picture brought the process down that decoded it: examine it by itself."
_TOO_SLOW = "The picture took longer than the limit to decode: examine it by itself."
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answers"}}}}
}
_BATCH = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}},
    },
}
_UPLOAD = {"requestBody": {"required": True, "content": {"image/*": {}, "application/octet-stream": {}}}}
_UPLOADS = {"requestBody": {"required": True, "content": {"multipart/form-data": {}}}}


@dataclass
class Service:
    """What one process of the service holds."""

    settings: Settings
    ring: KeyRing
    quotas: Quotas
    holding: Holding
    audit: Audit
    meters: Meters
    threads: ThreadPoolExecutor
    slow: ThreadPoolExecutor  # for what may take long, so that the rest does not wait for it
    decoders: Decoders
    leader: int  # the process that started this one
    held: int = 0  # bytes of pictures that are being taken in or looked at

    async def answer(
        self, request: Request, key: Key, asked: Sequence[Asked], kind: str | None = None
    ) -> list[list[Hit]]:
        """What the lists that the key may see know of each item; audited and counted. Raises Refused."""
        held = self.holding.now
        shelves = held.seen_by(key.lists)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self.slow if _is_dear(asked) else self.threads, match, shelves, asked, self.settings.radius
            )
        except (Damaged, OSError):
            raise Refused(
                503, "index_damaged", "The index cannot be read, so nothing is answered: tell the operator."
            ) from None
        self.audit.write(iso(now()), request.number, key.id, held.name, kind, asked, found)
        for item, hits in zip(asked, found, strict=True):
            self.meters.count("amparo_asked", kind or item.kind)
            if hits:
                self.meters.count("amparo_matched", kind or item.kind)
        return found

    async def look_at(self, data: bytearray) -> tuple[Asked, list[str], str | None]:
        """A picture as it is looked up, what of it is compared, and why it was not fingerprinted where it was not.

        The buffer is overwritten, whatever happens.
        """
        try:
            found = await self.decoders.examine(data)
        except Lost as lost:
            why = _TOO_SLOW if lost.why == "too_slow" else _CRASHED
            return Asked({}), [], why
        finally:
            wipe(data)
        forms = tuple(form for one in found.looks if one.quality >= QUALITY for form in one.forms)
        return Asked(found.digests, forms), ["digests", "looks"] if forms else ["digests"], found.problem

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room in memory for so many bytes of pictures. Raises Refused where there is none just now."""
        if self.held + size > MOST_HELD:
            raise Refused(503, "busy", "More pictures wait than can be looked at soon: send it again later.", 1)
        self.held += size
        try:
            yield
        finally:
            self.held -= size

    def tell_index(self) -> None:
        """Count what is asked by now."""
        self.meters.set("amparo_index_entries", self.holding.now.entries)
        self.meters.set("amparo_index_lists", len(self.holding.now.shelves))

    async def watch(self) -> None:
        """Follow the index for as long as the service runs."""
        loop = asyncio.get_running_loop()
        told: str | None = None
        while True:
            await asyncio.sleep(WATCHED)
            if os.getppid() != self.leader:  # it was killed, and could tell nobody
                signal.raise_signal(signal.SIGTERM)
            if not await loop.run_in_executor(self.threads, self.holding.is_behind):
                continue
            followed = await loop.run_in_executor(self.threads, self.holding.follow)
            if followed:
                self.meters.count("amparo_index_changes", "opened")
                self.tell_index()
            elif told != self.holding.problem:
                self.meters.count("amparo_index_changes", "failed")
                print(f"amparo: {self.holding.problem}", file=sys.stderr, flush=True)  # noqa: T201
            told = self.holding.problem


def _is_dear(asked: Sequence[Asked]) -> bool:
    return any(item.frames for item in asked) or sum(len(item.prints) for item in asked) > MOST_QUICK


class _Bare(FastAPI):
    """Without Starlette's own answers to errors: the gate gives them."""

    def build_middleware_stack(self) -> App:
        return AsyncExitStackMiddleware(self.router)


def build(service: Service) -> App:
    """The service as an ASGI application."""
    return Gate(_routes(service), service.ring, service.meters, service.settings.translate)


def said_of(found: Sequence[Hit], key: Key) -> dict[str, Any]:
    """An item's answer, as far as the key's scopes go; what is not told does not decide the order either."""
    if not key.sees_hits:
        return {"match": bool(found)}
    rows: dict[str, dict[str, Any]] = {}
    for hit in found:
        row: dict[str, Any] = {}
        for name in ("list", "category", "entry"):
            if f"match:{name}" in key.scopes:
                row[name] = getattr(hit, name)
        if "match:how" in key.scopes:
            row |= {"method": hit.method, "distance": hit.distance}
            if hit.contradicted:
                row["contradicted"] = True
            if hit.share is not None:
                row["share"] = hit.share
        rows.setdefault(json.dumps(row, ensure_ascii=False), row)
    told = list(rows.values()) if "match:how" in key.scopes else [rows[said] for said in sorted(rows)]
    return {"match": bool(found), "hits": told}


def _routes(service: Service) -> FastAPI:
    settings = service.settings

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        # They were held back until somebody here would hear them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
        service.tell_index()
        await service.decoders.start()
        watching = asyncio.create_task(service.watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await service.decoders.stop()

    app = _Bare(
        title="Amparo match service", version=amparo.__version__, lifespan=life,
        openapi_url=None, docs_url=None, redoc_url=None, responses={"default": {"model": Refusal}},
    )  # fmt: skip

    @app.post("/v1/match", openapi_extra=_BATCH, responses=_ANSWERS)
    async def match_batch(http: Http) -> Response:
        """Whether lists know contents, by digests, by fingerprints of pictures, by frames of films, mixed in one batch."""
        request: Request = http.scope["amparo"]
        key = request.need("match")
        body = await request.body(settings.most_body, settings.seconds_a_body)
        service.quotas.charge(key, 1, time.time())  # what cannot be understood counts too
        if len(body) > MOST_PARSED:
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(service.slow, read_batch, body, settings.most_items)
        else:
            asked = read_batch(body, settings.most_items)
        service.quotas.charge(key, sum(item.cost for item in asked) - 1, time.time())
        found = await service.answer(request, key, asked)
        return await _answered(request, key, [said_of(hits, key) for hits in found])

    @app.post("/v1/match/picture", openapi_extra=_UPLOAD, responses=_ANSWERS)
    async def match_picture(http: Http) -> Response:
        """Whether lists know a picture, sent as the body: by its digests, and by looks however it is turned or mirrored.

        It is held in memory for as long as that takes, and never stored. What cannot be decoded is refused with 422, unless its
        digests are known.
        """
        request: Request = http.scope["amparo"]
        key = request.need("match")
        service.quotas.charge(key, 1, time.time())
        with service.room(request.length or settings.most_picture):
            data = await request.body(settings.most_picture, settings.seconds_a_body)
            asked, compared, problem = await service.look_at(data)
            [found] = await service.answer(request, key, [asked], "picture")
        if problem is not None and not found:
            raise Refused(422, "not_fingerprinted", problem)
        return await _answered(request, key, [_of_picture(found, key, compared, problem)])

    @app.post("/v1/match/pictures", openapi_extra=_UPLOADS, responses=_ANSWERS)
    async def match_pictures(http: Http) -> Response:
        """As for one picture, for several, each in a part of `multipart/form-data`. One that cannot be decoded has a `problem`."""
        request: Request = http.scope["amparo"]
        key = request.need("match")
        most = settings.most_upload
        with service.room(request.length or most):
            pieces = request.pieces(most, settings.seconds_a_body)
            kind = request.headers.get(b"content-type", b"")
            service.quotas.charge(key, 1, time.time())
            pictures = await parts(pieces, kind, settings.most_pictures, settings.most_picture)
            try:
                service.quotas.charge(key, len(pictures) - 1, time.time())
            except Refused:
                for picture in pictures:
                    wipe(picture)
                raise
            looked = await asyncio.gather(*map(service.look_at, pictures))
            found = await service.answer(request, key, [asked for asked, _, _ in looked], "picture")
        results = [
            _of_picture(hits, key, compared, problem and settings.translate(problem, request.language))
            for hits, (_, compared, problem) in zip(found, looked, strict=True)
        ]
        return await _answered(request, key, results)

    @app.get("/health/live")
    async def live() -> Response:
        """The process answers."""
        return _json({"live": True})

    @app.get("/health/ready")
    async def ready() -> Response:
        """It has an index and can read its keys."""
        is_ready = service.ring.problem is None and service.holding.problem is None
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    @app.get("/metrics")
    async def metrics(http: Http) -> Response:
        """The counters of all processes, for Prometheus (scope `metrics`)."""
        http.scope["amparo"].need("metrics")
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return _json(_schema(app))

    return app


def _of_picture(found: Sequence[Hit], key: Key, compared: list[str], problem: str | None) -> dict[str, Any]:
    said = {**said_of(found, key), "compared": compared}
    return said if problem is None else {**said, "problem": problem}


def _schema(app: FastAPI) -> dict[str, Any]:
    schema = app.openapi()
    models = schema.setdefault("components", {}).setdefault("schemas", {})
    template = "#/components/schemas/{model}"
    for model in (Batch, Answers, Refusal):
        described = model.model_json_schema(ref_template=template)
        models |= described.pop("$defs", {})
        models[model.__name__] = described
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}]
    return schema


async def _answered(request: Request, key: Key, results: list[dict[str, Any]]) -> Response:
    body = json.dumps({"request": request.number, "results": results}, ensure_ascii=False)
    if not key.sees_hits:  # then every answer to as many items has the same length
        body = body.replace("true", "true".ljust(len("false")))
    await settled(request)
    return _raw(padded(body.encode()))


def _json(content: Any, status: int = 200) -> Response:
    return _raw(json.dumps(content, ensure_ascii=False).encode(), status)


def _raw(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
