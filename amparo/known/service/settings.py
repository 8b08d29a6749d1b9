"""How a service is set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amparo.known.nearest import RADIUS


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose. Sizes are in bytes, times in seconds.

    ``behind_proxy`` says that whoever listens in front speaks TLS, so that another address than this machine's own may be
    bound without it. ``translate`` gives a sentence of ours in a language (``pt`` or ``en``).
    """

    index: Path
    keys: Path
    audit: Path
    host: str = "127.0.0.1"
    port: int = 8470
    workers: int = 1
    decoders: int = 1
    certificate: Path | None = None
    private_key: Path | None = None
    behind_proxy: bool = False
    radius: int = RADIUS
    most_items: int = 1000
    most_body: int = 4 << 20
    most_picture: int = 32 << 20
    most_pictures: int = 32
    most_upload: int = 64 << 20
    seconds_a_picture: float = 10.0
    seconds_a_body: float = 30.0
    keep_asked: bool = False
    grace: float = 30.0
    translate: Callable[[str, str], str] = lambda sentence, language: sentence
