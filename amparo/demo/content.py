"""What a file system writer is asked to lay down: files, how they are kept, and what was lost since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """One file of a volume; ``path`` uses ``/`` and has no leading one.

    ``pieces``: in how many runs its content lies. ``deleted``: its name and record remain, marked unused, its blocks are free.
    ``over``: the path of a deleted file whose blocks this one was given. ``strays``: its directory's record was given to
    something else since, so nothing says where it lay (NTFS only). ``streams``: named streams beside the content (NTFS only).
    """

    path: str
    content: bytes
    created: datetime
    modified: datetime
    deleted: bool = False
    over: str | None = None
    strays: bool = False
    pieces: int = 1
    streams: Mapping[str, bytes] = field(default_factory=dict)
