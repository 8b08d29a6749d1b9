"""What can be done so that a picture does not stay in memory once it was compared.

What cannot: Python's own copies of bytes cannot be overwritten by name, only when the C library gets them back; pieces of less than
about a kilobyte escape even that; and the system may have put a page into its swap. docs/commands/provider.md says so too.
"""

from __future__ import annotations

import sys
from ctypes import CDLL
from typing import Final

_M_PERTURB: Final = -6  # malloc.h


def overwrite_what_is_freed() -> None:
    """Ask the C library to overwrite whatever this process frees from now on. GNU's can; with others nothing happens."""
    if sys.platform == "linux" and hasattr(library := CDLL(None), "mallopt"):
        library.mallopt(_M_PERTURB, 0xA5)


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer and let go of it."""
    buffer[:] = bytes(len(buffer))
    buffer.clear()
