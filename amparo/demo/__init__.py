"""``amparo demo``: a generated computer is searched from the order to the sealed package, and held against the truth.

Nothing is written outside the folder named; nothing of the examiner's is used, the signing key included. The disk and the
lists are the same every time; keys and times are not.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

from amparo import clock
from amparo.demo import computer, lists, place, truth
from amparo.demo.computer import Computer
from amparo.demo.story import Story, short

__all__ = ["run"]

_MOST_WORKERS = 4


def run(out: Path, language: str) -> int:
    """Generate, search, verify and tell in ``language`` (``pt`` or ``en``); ``out`` is made, or made again.

    Gives 0 where everything planted was found and the package holds, else 1. Raises UsedWrongly where ``out`` holds
    something that is not an earlier demonstration.
    """
    story = Story(language)
    place.prepare(out)
    story.tell("title")
    made = computer.build()
    disk = out / place.DISK
    made.write(disk)
    files = [file for volume in made.placed.values() for file in volume]
    gone = sum(file.deleted or file.strays for file in files)
    story.tell("generated", disk=disk, size=computer.DISK_SIZE >> 20, files=len(files), deleted=gone)
    folder = out / place.KNOWN
    folder.mkdir()
    known = lists.write_lists(made, folder, computer.SEED)
    story.tell("lists", folder=folder)
    _search(story, out, known, language)
    fine = _hold_against_truth(story, out, made)
    fine &= _open_one(story, out)
    fine &= _verify(story, out)
    _say_where(story, out)
    story.tell("fine" if fine else "wrong")
    return 0 if fine else 1


def _search(story: Story, out: Path, known: tuple[Path, ...], language: str) -> None:
    """The search itself, with everything that an examiner would give it."""
    from amparo.evidence import examination, order
    from amparo.evidence.search import Options
    from amparo.law.counting import law_day

    paper = out / place.ORDER
    paper.write_text(order.example(law_day(clock.now())), encoding="utf-8")
    story.tell("order", order=paper)
    recipient = _make_recipient(out / place.RECIPIENT)
    workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    options = Options(workers=workers, recipients=(recipient,), fingerprints=True)
    request = examination.Request(
        out / place.DISK, order.read_order(paper), out / place.PACKAGE, options,
        known=known, language=language, key=out / place.SEAL,
    )  # fmt: skip
    story.tell("searching")
    began = time.monotonic()
    outcome = examination.examine(request, story, clock.now)
    counts = {state: outcome.counts.get(state, 0) for state in ("live", "deleted", "orphan", "carved", "inside")}
    story.tell("searched", seconds=f"{time.monotonic() - began:.1f}", **counts)


def _make_recipient(path: Path) -> str:
    """A new age key pair: the private half goes into the file, as age-keygen writes it; the public half is given back."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"# public key: {public}\n{identity}\n")
    return public


def _evidence(out: Path) -> Path:
    return out / place.PACKAGE / "data" / "evidence.sqlite"


def _hold_against_truth(story: Story, out: Path, made: Computer) -> bool:
    result = truth.compare(_evidence(out), made)
    states = {state: result.states()[state] for state in ("live", "deleted", "orphan", "carved", "inside")}
    story.tell("result", found=len(result.found), expected=len(result.found) + len(result.missing), **states)
    story.tell("alike", count=result.alike())
    for planted in result.missing:
        story.tell("missing", entry=planted.entry, state=planted.state, path=short(planted.path))
    for path in result.strangers:
        story.tell("stranger", path=short(path))
    for planted, why in result.explained:
        story.tell("explained", path=short(planted.path), why=story.sentence(why))
    for planted in result.silent:
        story.tell("silent", path=short(planted.path))
    story.tell("ordinary", found=result.ordinary, expected=result.ordinary_expected)
    return result.holds


def _open_one(story: Story, out: Path) -> bool:
    """Decrypt one gathered content in memory, as its recipient would, and check its digest."""
    import hashlib

    import pyrage

    from amparo.evidence import tables

    key = out / place.RECIPIENT
    identity = pyrage.x25519.Identity.from_str(key.read_text(encoding="utf-8").splitlines()[-1])
    with closing(tables.open_read_only(_evidence(out))) as database:
        rows = database.execute("select name, sha256 from gathered order by file_id").fetchall()
        wanted = database.execute("select count(distinct file_id) from matches").fetchone()[0]
    held = bool(rows) and len(rows) == wanted
    if held:
        content = pyrage.decrypt((out / place.PACKAGE / rows[0]["name"]).read_bytes(), [identity])
        held = hashlib.sha256(content).hexdigest() == rows[0]["sha256"]
    story.tell("gathered" if held else "not_gathered", count=len(rows), key=key)
    return held


def _verify(story: Story, out: Path) -> bool:
    from amparo.evidence import package, tables

    findings = package.verify(out / place.PACKAGE)
    wrong = next((finding for finding in findings if not finding.ok), None)
    with closing(tables.open_read_only(_evidence(out))) as database:
        digests = dict(database.execute("select key, value from run where key like 'source_sha256%'").fetchall())
    unchanged = bool(digests) and digests.get("source_sha256_before") == digests.get("source_sha256_after")
    if wrong is not None:
        story.tell("not_verified", what=story.sentence(wrong.what))
    elif not unchanged:
        story.tell("changed")
    else:
        story.tell("verified", checks=len(findings))
    return wrong is None and unchanged


def _program() -> str:
    """How this program is called here: by its name, or, where the shell does not find that, by its place."""
    if shutil.which("amparo"):
        return "amparo"
    beside = Path(sys.executable).with_name("amparo")
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _say_where(story: Story, out: Path) -> None:
    package = out / place.PACKAGE
    story.tell("look")
    for report in ("report.html", "report.pdf"):
        if (package / "data" / report).exists():
            story.tell("report", path=package / "data" / report)
    story.tell("tables", path=_evidence(out))
    story.tell("verify", command=shlex.join([_program(), "verify", str(package)]))
    gathered = next(iter(sorted((package / "data" / "gathered").glob("*.age"))), None)
    if gathered is not None:
        story.tell("open", command=shlex.join(["age", "-d", "-i", str(out / place.RECIPIENT), str(gathered)]))
