"""A list of any size is read, and written, in the same memory."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amparo.known.lists import FORMATS, Entry, write_list
from tests.known import specimens
from tests.known.specimens import ncmec_entry, stopncii_record, vics_entry

SIZE = 40_000_000
READ = """
import resource, sys
from pathlib import Path
from amparo.known.lists import read_list
def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in read_list(Path(sys.argv[2])).claims(): pass
before = used()
known = read_list(Path(sys.argv[1]))
count = sum(1 for _ in known.claims())
print(count, known.skipped_count, used() - before)
"""


def times(size: int, written: Callable[[int], str], count: int = 400) -> Iterator[str]:
    """A few hundred entries again and again, with other digests: enough for ``size`` bytes."""
    made = [written(n) for n in range(count)]
    total = 0
    for turn in itertools.count():
        for entry in made:
            text = entry.replace("a0", f"{turn % 256:02x}").replace("A0", f"{turn % 256:02X}") if turn else entry
            total += len(text)
            yield text
        if total >= size:
            return


def vics(path: Path, size: int) -> Path:
    return specimens.write_vics(path, times(size, lambda n: specimens.json.dumps(vics_entry(n))))


def csv(path: Path, size: int) -> Path:
    path.write_text("md5,sha1,category,entry\n")
    with path.open("a") as out:
        out.writelines(times(size, lambda n: specimens.csv_lines(400)[n]))
    return path


def ncmec(path: Path, size: int) -> Path:
    return specimens.write_ncmec(path, times(size, ncmec_entry))


def stopncii(path: Path, size: int) -> Path:
    return specimens.write_stopncii(path, times(size, lambda n: specimens.json.dumps(stopncii_record(n))))


@pytest.mark.parametrize("make", [vics, csv, ncmec, stopncii])
def test_forty_megabytes_take_hardly_more_memory_than_four(tmp_path: Path, make: Callable[[Path, int], Path]):
    small, large = make(tmp_path / "small", SIZE // 10), make(tmp_path / "large", SIZE)
    assert large.stat().st_size > SIZE
    done = subprocess.run([sys.executable, "-c", READ, large, small], capture_output=True, text=True, check=True)
    count, skipped, more = map(int, done.stdout.split())
    assert count > 40_000 and skipped == 0
    assert more < 16_000, "KiB more than a tenth of it takes"


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "ncmec"])
def test_entries_are_written_as_they_come(form: str):
    """No more than one entry is asked for ahead of what is written."""
    out, ahead = io.StringIO(), 0

    def given() -> Iterator[Entry]:
        nonlocal ahead
        for n in range(50):
            before = out.tell()
            yield Entry(
                specimens.raw("md5", n),
                specimens.raw("sha1", n),
                specimens.raw("sha256", n),
                specimens.raw("sha256", n),
            )
            ahead += out.tell() == before

    assert write_list(given(), form, out).count == 50
    assert ahead == 0
