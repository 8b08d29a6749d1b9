"""The DFXML of a real search against that of fiwalk: the same files, at the same places, with the same digests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from amparo import clock
from amparo.evidence.exports import export
from amparo.evidence.order import example

FIXTURES = Path(__file__).parents[3] / "../shared/fixtures/sleuthkit"
FIWALK = shutil.which("fiwalk")
Objects = dict[str, tuple[int, str | None, str | None, tuple[tuple[int, int], ...]]]


def searched(source: Path, folder: Path) -> Path:
    """The package of a search of ``source`` by the command itself."""
    try:
        from amparo.evidence import examination  # noqa: F401
    except ImportError as error:
        pytest.skip(f"the search cannot be imported: {error}")
    (folder / "order.toml").write_text(example(clock.now().date()), "utf-8")
    command = [
        sys.executable,
        "-m",
        "amparo.cli",
        "search",
        str(source),
        "--order",
        str(folder / "order.toml"),
        "--no-pdf",
    ]
    told = subprocess.run(
        [*command, "--out", str(folder / "package"), "--json"], capture_output=True, text=True, timeout=300
    )
    assert told.returncode in (0, 5), told.stderr
    return folder / "package"


def elements(path: Path, name: str) -> Iterator[ElementTree.Element]:
    for element in ElementTree.parse(path).getroot().iter():
        _, _, element.tag = element.tag.rpartition("}")
        if element.tag == name:
            yield element


def objects(path: Path) -> Objects:
    """Files and links of a DFXML document, live or not: size, MD5, SHA-1 and runs by name, and ``gone`` before a deleted one."""
    found: Objects = {}
    for each in list(elements(path, "fileobject")):
        if each.findtext("name_type") not in ("r", "l"):
            continue
        live = each.findtext("alloc") == "1" or each.findtext("alloc_name") == "1"
        digests = {hash.get("type", "").lower(): hash.text for hash in each.iter("hashdigest")}
        runs = tuple(
            (int(run.get("img_offset", "-1")), int(run.get("len", "0")))
            for runs in each.findall("byte_runs")
            if runs.get("facet") in (None, "data")
            for run in runs
        )
        name = ("" if live else "gone ") + (each.findtext("filename") or "")
        found[name] = (int(each.findtext("filesize") or 0), digests.get("md5"), digests.get("sha1"), runs)
    return found


def agree(ours: Objects, theirs: Objects) -> None:
    assert {name: one[:3] for name, one in ours.items()} == {name: one[:3] for name, one in theirs.items()}
    for name, (size, _, _, runs) in theirs.items():
        if size and all(start >= 0 for start, _ in runs):
            assert ours[name][3] == runs, name


@pytest.mark.conformance
def test_the_sleuth_kits_own_image_gives_what_fiwalk_wrote_of_it(tmp_path: Path):
    if not FIXTURES.is_dir():
        pytest.skip("the image of The Sleuth Kit is not on this machine")
    export(searched(FIXTURES / "image.dd", tmp_path), "dfxml", tmp_path / "out.xml")
    theirs = objects(FIXTURES / "image_dd.xml")
    assert len(theirs) == 6 and "gone a_directory/another_file~" in theirs
    ours = objects(tmp_path / "out.xml")
    # fiwalk reads a short link as zeros; its content is what it points to.
    link, zeros = ours.pop("a_link"), theirs.pop("a_link")
    assert (link[0], link[1]) == (24, hashlib.md5(b"a_directory/another_file").hexdigest())
    assert (zeros[0], zeros[1]) == (24, hashlib.md5(bytes(24)).hexdigest())
    agree(ours, theirs)


@pytest.mark.skipif(
    not (FIWALK and shutil.which("mkfs.fat") and shutil.which("mcopy")), reason="fiwalk or mtools is absent"
)
def test_a_fat_volume_gives_what_fiwalk_gives(tmp_path: Path):
    image = tmp_path / "fat.dd"
    image.write_bytes(bytes(8 << 20))
    subprocess.run(["mkfs.fat", "-F", "16", "-s", "1", str(image)], check=True, capture_output=True)
    source = tmp_path / "source"
    for number, name in enumerate(["a.txt", "Fotos/verao.jpg", "Fotos/Long name with spaces & an ampersand.bin"]):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(name.encode()).digest() * (700 * number + 1))
    subprocess.run(["mcopy", "-s", "-i", str(image), str(source / "a.txt"), str(source / "Fotos"), "::"], check=True)
    subprocess.run(["mdel", "-i", str(image), "::a.txt"], check=True)
    assert FIWALK
    subprocess.run([FIWALK, "-X", str(tmp_path / "fiwalk.xml"), str(image)], check=True, capture_output=True)
    export(searched(image, tmp_path), "dfxml", tmp_path / "out.xml")
    theirs, ours = objects(tmp_path / "fiwalk.xml"), objects(tmp_path / "out.xml")
    assert {"gone _.txt", "Fotos/verao.jpg"} <= theirs.keys()
    agree(ours, theirs)
