"""The other side of known_service.py: what Hasher-Matcher-Actioner would do for each request, without HTTP and without its database.

    python known_service_peer.py FOLDER SECONDS

HMA itself is in no registry of packages and needs PostgreSQL, so it is not run. Its answers come from python-threatexchange: a
picture is hashed by PdqSignal, a hash is looked up in PDQIndex. That alone is measured here, in as many processes as there are
cores, which is more than HMA can do. Reads ``prints.npy`` and ``*.jpg`` in the folder; one line of JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threatexchange.signal_type.pdq.signal import PdqSignal

_index: Any = None


def asked(arguments: tuple[str, float, int]) -> float:
    """Look-ups, or pictures, a second in one process."""
    what, seconds, seed = arguments
    chosen = random.Random(seed)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        if what == "fingerprints":
            _index.query(chosen.randbytes(32).hex())
        else:
            PdqSignal.hash_from_bytes(_pictures[count % len(_pictures)])
        count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    global _index, _pictures
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    prints = np.load(folder / "prints.npy")
    _pictures = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    _index = PdqSignal.get_index_cls().build((row.tobytes().hex(), number) for number, row in enumerate(prints))
    cores = multiprocessing.cpu_count()
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        print(
            json.dumps(
                {
                    what: sum(pool.map(asked, [(what, seconds, seed) for seed in range(cores)]))
                    for what in ("fingerprints", "pictures")
                }
            )
        )


if __name__ == "__main__":
    main()
