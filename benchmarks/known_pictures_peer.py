"""The other side of known_pictures.py: python-threatexchange and pdqhash, in an environment of their own.

Reads a request a line in JSON, answers with a line: ``{"path", "times"}`` gives ``pdq``, ``quality`` and ``seconds``, the least
of so many runs from the file's bytes; ``{"path", "dihedral": true}`` gives the eight as well.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import pdqhash
from PIL import Image
from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes


def main() -> None:
    Image.MAX_IMAGE_PIXELS = None
    for line in sys.stdin:
        asked = json.loads(line)
        data = Path(asked["path"]).read_bytes()
        best, found = float("inf"), ("", 0)
        for _ in range(asked.get("times", 1)):
            begin = time.perf_counter()
            found = pdq_from_bytes(data)
            best = min(best, time.perf_counter() - begin)
        answer = {"pdq": found[0], "quality": found[1], "seconds": best}
        if asked.get("dihedral"):
            vectors, _ = pdqhash.compute_dihedral(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            answer["dihedral"] = [np.packbits(vector.astype(np.uint8)).tobytes().hex() for vector in vectors]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
