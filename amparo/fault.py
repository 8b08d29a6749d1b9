"""What is kept of an error that nobody foresaw, so that it can be reported: a file beside no evidence, for its owner only."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import amparo
from amparo.clock import iso


def keep(error: BaseException, typed: Sequence[str], now: datetime) -> Path | None:
    """Write down where in the program ``error`` arose; gives the file, or None where none can be written.

    It lies in ``amparo`` below ``XDG_STATE_HOME`` (``~/.local/state`` where that is not set), or in the system's folder for
    temporary files. The command and options that were typed are named, what follows an option is not: it may be a key.
    """
    options = [word.split("=", 1)[0] for word in typed if word.startswith("--")]
    text = "\n".join(
        [
            f"Amparo {amparo.__version__}, Python {platform.python_version()}, {platform.platform()}, {iso(now)}",
            f"Command: {next((word for word in typed if not word.startswith('-')), '')} {' '.join(options)}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    name = f"fault-{now:%Y%m%dT%H%M%SZ}-"
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(".txt", name, folder)  # readable by its owner only
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(path)
    return None


def _folders() -> list[Path]:
    state = os.environ.get("XDG_STATE_HOME", "")
    places = [Path(state) / "amparo"] if state.startswith("/") else []
    with suppress(RuntimeError):  # a user without a home
        places.append(Path.home() / ".local" / "state" / "amparo")
    return [*places, Path(tempfile.gettempdir())]
