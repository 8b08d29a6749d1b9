"""A list of ordinary files can never hide one that a list of known material names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.evidence.examining import examine, rows

CONTENT = b"\x89PNG a generated content"


def nsrl(path: Path, content: bytes) -> Path:
    sha1, md5 = hashlib.sha1(content).hexdigest().upper(), hashlib.md5(content).hexdigest().upper()
    path.write_text(
        '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n'
        f'"{sha1}","{md5}","00000000","a.png",{len(content)},1,"1",""\n'
    )
    return path


def test_a_list_of_ordinary_files_does_not_hide_a_match(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(CONTENT)
    good = nsrl(tmp_path / "good.txt", CONTENT)
    bad = tmp_path / "bad.txt"
    bad.write_text(hashlib.sha256(CONTENT).hexdigest() + "\n")
    for number, lists in enumerate([(good, bad), (bad, good)]):
        out = tmp_path / f"out{number}"
        examine(tmp_path / "source", out, known=lists)
        assert rows(out, "select list, method from matches") == [("bad.txt", "sha256")]
        assert rows(out, "select known_good from files") == [("good.txt",)]
