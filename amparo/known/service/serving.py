"""The processes of the service: one that listens and watches, and those that answer.

The first opens the port, starts the others and starts again any that dies; SIGTERM and Ctrl-C let what is being answered come
to its end. The others share the port, the mapped index, the counters and the quotas.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from amparo.errors import UsedWrongly
from amparo.known.service.settings import Settings

MOST_CONNECTIONS: Final = 1024  # of one process
_IDLE_SECONDS: Final = 30
_THREADS: Final = 2  # that look up; the kernels let go of the interpreter
_SETTLED: Final = 5.0  # seconds after which a process that dies is started again at once
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(settings: Settings, listening: Callable[[str], None]) -> int:
    """Run the service until it is told to stop; gives the exit code. ``listening`` is told the address once all is ready to start.

    Raises UsedWrongly where the packages of the extra ``provider`` are missing, or the index, the keys, the audit or the port
    cannot be used.
    """
    if not all(
        find_spec(name) for name in ("fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn")
    ):
        raise UsedWrongly("The match service needs more packages: install them with pip install 'amparo[provider]'.")
    from amparo.known.service.audit import Audit
    from amparo.known.service.holding import Holding
    from amparo.known.service.keys import KeyRing
    from amparo.known.service.metrics import Board
    from amparo.known.service.quotas import Quotas

    _check(settings)
    Holding(settings.index)  # so that what is wrong is said at once
    if problem := KeyRing(settings.keys).problem:
        raise UsedWrongly(problem)
    Quotas(_quotas_of(settings)).close()
    Audit(settings.audit).close()
    board = Board(settings.workers)
    with _bound(settings) as listener:
        host, port = listener.getsockname()[:2]
        scheme = "https" if settings.certificate else "http"
        listening(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        return _Leader(settings, listener, board).run()


def _quotas_of(settings: Settings) -> Path:
    return settings.keys.with_name(f"{settings.keys.name}.quotas")


def _check(settings: Settings) -> None:
    if (settings.certificate is None) != (settings.private_key is None):
        raise UsedWrongly("TLS needs both a certificate and its key: give --tls-certificate and --tls-key.")
    if settings.certificate is not None and settings.private_key is not None:
        import ssl

        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                settings.certificate, settings.private_key
            )
        except (OSError, ssl.SSLError):
            raise UsedWrongly(
                f"The certificate {settings.certificate} and its key cannot be used: give PEM files that belong together."
            ) from None
    elif not settings.behind_proxy and not _is_own(settings.host):
        raise UsedWrongly(
            f"{settings.host} can be reached by others, and keys would travel in clear: give --tls-certificate and --tls-key,"
            " or --behind-proxy where something in front speaks TLS."
        )


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(settings: Settings) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        raise UsedWrongly(
            f"The service cannot listen on {settings.host}, port {settings.port}: {error.strerror}."
        ) from None
    return listener


class _Leader:
    """The process that starts the others."""

    def __init__(self, settings: Settings, listener: socket.socket, board: Any) -> None:
        self._settings, self._listener, self._board = settings, listener, board
        self._places: dict[int, tuple[int, float]] = {}  # by process: its place, and when it began

    def run(self) -> int:
        """Until it is told to stop."""
        heard = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        try:
            for place in range(self._settings.workers):
                self._start(place)
            while signal.sigwait(heard) == signal.SIGCHLD:
                for place, lived in self._ended():
                    if lived < _SETTLED and signal.sigtimedwait(heard - {signal.SIGCHLD}, 1.0) is not None:
                        return 0
                    self._start(place)
            return 0
        finally:
            self._stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self, place: int) -> None:
        leader = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process:
            self._places[process] = place, time.monotonic()
            return
        code = 1
        try:
            _work(self._settings, self._listener, self._board, place, leader)
            code = 0
        except UsedWrongly as why:
            print(f"amparo: {why}", file=sys.stderr, flush=True)  # noqa: T201
        except BaseException as error:
            print(f"amparo: a process of the service ended: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201
        finally:
            os._exit(code)

    def _ended(self) -> list[tuple[int, float]]:
        """The places of the processes that ended, and how long each lived."""
        found = []
        for process in list(self._places):
            if os.waitpid(process, os.WNOHANG)[0]:
                place, began = self._places.pop(process)
                found.append((place, time.monotonic() - began))
        return found

    def _stop(self) -> None:
        self._listener.close()
        for process in self._places:
            os.kill(process, signal.SIGTERM)
        until = time.monotonic() + self._settings.grace + 5
        while self._places and time.monotonic() < until:
            self._ended()
            time.sleep(0.02)
        for process in self._places:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _work(settings: Settings, listener: socket.socket, board: Any, place: int, leader: int) -> None:
    """One process that answers, until it is told to stop."""
    import uvicorn

    from amparo.known.service.app import Service, build
    from amparo.known.service.audit import Audit
    from amparo.known.service.holding import Holding
    from amparo.known.service.keys import KeyRing
    from amparo.known.service.memory import overwrite_what_is_freed
    from amparo.known.service.metrics import Meters
    from amparo.known.service.pictures import Decoders
    from amparo.known.service.protocol import guarded
    from amparo.known.service.quotas import Quotas

    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != leader:
            return
    overwrite_what_is_freed()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # uvicorn puts its own in place, and raises it again when it has ended. What was sent meanwhile waits (the leader blocked
        # it before it forked), and is only kept where it is not ignored.
        signal.signal(number, lambda *_: None)
    _raise_files()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):  # they would quote requests
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    meters = Meters(board, place)
    service = Service(
        settings, KeyRing(settings.keys), Quotas(_quotas_of(settings)), Holding(settings.index),
        Audit(settings.audit, settings.keep_asked), meters, ThreadPoolExecutor(_THREADS), ThreadPoolExecutor(1),
        Decoders(settings.decoders, settings.seconds_a_picture, lambda why: meters.count("amparo_decoder_losses", why)),
        leader,
    )  # fmt: skip
    gc.freeze()
    config = uvicorn.Config(
        build(service), http=guarded(settings.seconds_a_body), ws="none", lifespan="on", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
        ssl_certfile=settings.certificate, ssl_keyfile=settings.private_key,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def _raise_files() -> None:
    """As many open files as the system lets it have, so that connections run out before they do."""
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = 1 << 16 if most == resource.RLIM_INFINITY else min(most, 1 << 16)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
