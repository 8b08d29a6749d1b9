"""Known material, measured: every ratio is from the same run, beside the program that one would take otherwise.

    python benchmarks/known.py [--part pictures|nearest|exact|films|lists|service|bulk]... [--quick] [--peers FOLDER]

The peers are installed into an environment of their own, never into the product's: threatexchange and pdqhash (Meta), vpdq,
faiss-cpu.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

PARTS = ("pictures", "nearest", "exact", "films", "lists", "service", "bulk")
PEERS = ("threatexchange==1.2.17", "pdqhash==0.2.8", "vpdq==0.2.5", "faiss-cpu==1.15.1", "numpy", "pillow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="smaller: to see that it runs")
    parser.add_argument(
        "--peers", type=Path, default=Path("/var/tmp/amparo-peers"), help="where the peers are installed"
    )
    given = parser.parse_args()
    _install(given.peers)
    for part in given.part or PARTS:
        print(f"\n== {part}", flush=True)
        run = importlib.import_module(f"benchmarks.known_{part}").run
        more = {"quick": given.quick} if "quick" in inspect.signature(run).parameters else {}
        run(given.peers, **more)


def _install(where: Path) -> None:
    if not (where / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
    pip = [str(where / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *PEERS], check=True)


if __name__ == "__main__":
    main()
