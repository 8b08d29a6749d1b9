"""The other side of known_nearest.py: faiss as python-threatexchange sets it, in an environment of its own, on one thread.

Its module signal_type/pdq/pdq_faiss_matcher.py has two indexes: PDQMultiHashIndex (the default), an IndexBinaryMultiHash of 16
maps of 16 bits in an IndexBinaryIDMap2, which probes ``threshold // 16`` flips of each map; and PDQFlatHashIndex, a flat one.
It turns hexadecimal into arrays and keeps a dictionary of its own besides; neither is timed or counted here.

Reads requests a line in JSON, answers each with a line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    faiss.omp_set_num_threads(1)
    indexes: dict[str, Any] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked["index"]
        if asked["do"] == "build":
            hashes = np.load(asked["hashes"])
            numbers = np.arange(len(hashes))
            before, begin, busy = resident(), time.perf_counter(), time.process_time()
            inner = (
                faiss.IndexBinaryMultiHash(256, 16, 16) if name == "multi" else faiss.index_binary_factory(256, "BFlat")
            )
            index = faiss.IndexBinaryIDMap2(inner)
            index.add_with_ids(hashes, numbers)
            if name == "multi":
                inner.nflip = 31 // inner.nhash
            indexes[name] = (index, inner)
            answer = {
                "seconds": time.perf_counter() - begin, "busy": time.process_time() - busy, "bytes": resident() - before,
                "version": faiss.__version__,
            }  # fmt: skip
        else:
            queries = np.load(asked["queries"])
            begin, busy = time.perf_counter(), time.process_time()
            limits, _, rows = indexes[name][0].range_search(queries, asked["radius"] + 1)
            seconds, busy = time.perf_counter() - begin, time.process_time() - busy
            np.savez(asked["into"], limits=limits, rows=rows)
            answer = {"seconds": seconds, "busy": busy}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
