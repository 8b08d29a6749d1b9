"""One examination, from the order to the sealed package."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import amparo
from amparo.clock import iso
from amparo.errors import SourceUnreadable, UsedWrongly
from amparo.evidence import bag, package, seal, tables
from amparo.evidence.fingerprints import STAGE
from amparo.evidence.keys import fingerprint
from amparo.evidence.medium import Background, Medium, describe
from amparo.evidence.order import Order
from amparo.evidence.plan import Plan
from amparo.evidence.search import Options, Search
from amparo.evidence.source import layers
from amparo.evidence.veil import Veil
from amparo.evidence.watcher import Watcher

if TYPE_CHECKING:
    from amparo.known.index import KnownIndex

WORK = "work.sqlite"
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
# A picture that no decoder makes sense of was read all the same.
_UNREAD = f"select count(*) from problems where stage <> '{STAGE}'"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Request:
    """What the examiner asks for. ``source_digest`` is ``both``, ``once`` or ``none``."""

    source: Path
    order: Order
    out: Path
    options: Options
    known: tuple[Path, ...] = ()
    resume: bool = False
    language: str = "pt"
    source_digest: str = "both"
    pdf: bool = True
    key: Path | None = None
    timestamp: Callable[[bytes], bytes] | None = None


@dataclass(slots=True)
class Outcome:
    """What came of it; ``fingerprint`` is that of the key that sealed the package. ``exit_code`` is 0, or 5 where something
    could not be read."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: int = 0
    fingerprint: str = ""

    @property
    def exit_code(self) -> int:
        return 5 if self.problems else 0


def examine(request: Request, watcher: Watcher, clock: Callable[[], datetime]) -> Outcome:
    """Search the source under its order and leave a sealed package at ``request.out``.

    Raises NotAllowed before anything is read where the order does not cover it, SourceUnreadable where nothing can be
    read, UsedWrongly where the arguments do not fit together.
    """
    order = request.order
    order.require("search", clock())
    _check_places(request)
    layers.check_keys(request.options.keys)
    if request.pdf:
        from amparo.evidence import report

        report.check_paper()
    medium = None if request.source.is_dir() else describe(request.source)
    # A key that cannot be used shows now, not at the end.
    key = seal.load_or_create_key(request.key or seal.default_key_path())
    known = _known(request)
    by = f"{order.examiner_name}, {order.examiner_agency}"
    writer = package.PackageWriter.begin(
        request.out, order=order.as_dict(), now=clock(), by=by, training=order.training, resume=request.resume
    )
    if request.resume and not (request.out / WORK).exists() and (writer.data / "evidence.sqlite").exists():
        outcome = _outcome_of(writer.data / "evidence.sqlite")  # only the report and the seal were missing
        _report(request, writer)
        _finish(request, writer, key, by, outcome, clock)
        return outcome
    plan = None
    try:
        plan = Plan(request.out / WORK, Veil(key))
        _same_source(plan, request, medium)
        if medium is not None and plan["source_format"] is None:
            plan.begin()
            plan["source_format"], plan["source_size"] = medium.format, str(medium.size)
            plan["source_stored"] = json.dumps(medium.stored_digests)
            for sentence in medium.problems:
                plan.problem("source", None, sentence)
            plan.commit()
        if plan["started"] is None:
            plan["started"] = iso(clock())
        else:
            plan["interrupted"] = json.dumps([*json.loads(plan["interrupted"] or "[]"), iso(clock())])
        before = None
        if not request.source.is_dir() and request.source_digest != "none" and plan["source_before"] is None:
            before = Background(request.source)
        search = Search(request.source, plan, request.options, known, watcher)
        search.run(writer.data / "gathered")
        _keep_digests(plan, request, before, watcher)
        plan["finished"] = iso(clock())
        outcome = _outcome(plan)
        run = _run_table(plan, request, known, outcome)
        evidence = writer.data / "evidence.sqlite"
        prepared = _meanwhile(_prepare_report)  # SQLite leaves a processor to others while it writes
        plan.write_evidence(evidence, run)
        prepared()
        settled = _meanwhile(lambda: bag.settle_file(evidence))
        _report(request, writer)
        settled()  # before the tables that it came from are gone: the power may fail
        plan.retire()
    except sqlite3.OperationalError as error:  # what SQLite says of a full or vanished disk
        if not error.sqlite_errorname.startswith(_NO_ROOM):
            raise
        raise UsedWrongly(
            f"The package could not be written at {request.out} ({error}): make room there, or attach the disk again, and"
            " run the same command with --resume."
        ) from None
    finally:
        if plan is not None:
            plan.close()
    _finish(request, writer, key, by, outcome, clock)
    return outcome


def _known(request: Request) -> KnownIndex | None:
    if not request.known:
        return None
    from amparo.known.index import KnownIndex

    return KnownIndex.build(list(request.known))


def _check_places(request: Request) -> None:
    source, out = request.source.absolute(), request.out.absolute()
    if not source.exists():
        raise SourceUnreadable(f"There is no source at {request.source}: check the path, or that the disk is attached.")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsedWrongly("The package would lie inside the source, which must not change: choose another --out.")


def _same_source(plan: Plan, request: Request, medium: Medium | None) -> None:
    now = json.dumps([request.source.name, None if medium is None else medium.files])
    options = request.options
    chosen = json.dumps(
        [
            options.carve,
            options.containers,
            options.fingerprints,
            options.triage,
            sorted(options.gather),
            [p.name for p in request.known],
            sorted(options.recipients),
        ]
    )
    if plan["source"] is None:
        plan.begin()  # both or neither: a disk may be full after the first
        plan["source"], plan["chosen"] = now, chosen
        plan.commit()
    elif plan["source"] != now:
        raise UsedWrongly(
            "The source is not the one that this run began with: resume with the same one, or choose another --out."
        )
    elif plan["chosen"] != chosen:
        raise UsedWrongly("The options are not those that this run began with: resume with the same ones.")


def _keep_digests(plan: Plan, request: Request, before: Background | None, watcher: Watcher) -> None:
    if before is not None:
        state = before.result()
        if state is None:
            plan.problem("source", None, f"The source's digest could not be taken: {before.why}")
        else:
            plan["source_before"], plan["source_size"] = state.sha256, str(state.size)
            plan["source_files"] = json.dumps(state.files)
    if request.source_digest == "both" and plan["source_before"] and plan["source_after"] is None:
        watcher.stage("confirm", 0, 0)
        confirming = Background(request.source)
        after = confirming.result()
        if after is None:
            plan.problem("source", None, f"The source's digest could not be confirmed at the end: {confirming.why}")
        else:
            plan["source_after"] = after.sha256
            if after.sha256 != plan["source_before"] or json.dumps(after.files) != plan["source_files"]:
                plan.problem(
                    "source", None, "The source changed during the search: use a write blocker and search again."
                )


def _run_table(plan: Plan, request: Request, known: KnownIndex | None, outcome: Outcome) -> dict[str, str]:
    order = request.order
    run = {
        "version": amparo.__version__,
        "order": json.dumps(order.as_dict(), ensure_ascii=False),
        "order_lapses_on": order.lapses_on.isoformat() if order.lapses_on else "",
        "order_sha256": order.digest,
        "source": request.source.name,
        "source_format": plan["source_format"] or "folder",
        "started": plan["started"] or "",
        "finished": plan["finished"] or "",
        "options": json.dumps({
            "carve": request.options.carve, "inside": request.options.containers,
            "fingerprints": request.options.fingerprints, "gather": list(request.options.gather),
            "recipients": list(request.options.recipients), "source_digest": request.source_digest,
        }),
        "triage": "1" if request.options.triage else "0",
        "lists": json.dumps(known.described() if known is not None else [], ensure_ascii=False),
        "interrupted": plan["interrupted"] or "[]",
        "language": request.language,
    }  # fmt: skip
    for key, kept in (
        ("source_size", "source_size"),
        ("source_sha256_before", "source_before"),
        ("source_sha256_after", "source_after"),
        ("source_files", "source_files"),
    ):
        value = plan[kept]
        if value is not None:
            run[key] = value
    for name, value in json.loads(plan["source_stored"] or "{}").items():
        run[f"source_{name}_stored"] = value
    for what, count in outcome.counts.items():
        if what != "gathered":
            run["count_matched_files" if what == "matched" else f"count_{what}"] = str(count)
    run["count_matches"] = str(plan.database.execute("select count(*) from matches").fetchone()[0])
    run["count_problems"] = str(outcome.problems)
    return run


def _outcome(plan: Plan) -> Outcome:
    counts = dict(plan.database.execute("select state, count(*) from files group by state").fetchall())
    counts["matched"] = plan.database.execute("select count(distinct file) from matches").fetchone()[0]
    counts["gathered"] = plan.database.execute("select count(*) from gathered").fetchone()[0]
    return Outcome(counts, plan.database.execute(_UNREAD).fetchone()[0])


def _outcome_of(evidence: Path) -> Outcome:
    database = tables.open_read_only(evidence)
    try:
        counts = dict(map(tuple, database.execute("select state, count(*) from files group by state")))
        counts["matched"] = database.execute("select count(distinct file_id) from matches").fetchone()[0]
        counts["gathered"] = database.execute("select count(*) from gathered").fetchone()[0]
        return Outcome(counts, database.execute(_UNREAD).fetchone()[0])
    finally:
        database.close()


def _prepare_report() -> None:
    from amparo.evidence import report

    report.prepare()


def _meanwhile(task: Callable[[], None]) -> Callable[[], None]:
    """Begin a task in a thread of its own. What is given back waits for its end, and raises what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except BaseException as error:
            raised.append(error)

    def wait() -> None:
        thread.join()
        if raised:
            raise raised[0]

    thread = threading.Thread(target=run)
    thread.start()
    return wait


def _report(request: Request, writer: package.PackageWriter) -> None:
    from amparo.evidence import report

    report.write_report(writer.data / "evidence.sqlite", writer.data, request.language, pdf=request.pdf)


def _finish(
    request: Request,
    writer: package.PackageWriter,
    key: Ed25519PrivateKey,
    by: str,
    outcome: Outcome,
    clock: Callable[[], datetime],
) -> None:
    for leftover in (WORK, f"{WORK}-wal", f"{WORK}-shm"):
        (request.out / leftover).unlink(missing_ok=True)
    gathered = writer.data / "gathered"
    if gathered.is_dir() and not any(gathered.iterdir()):
        gathered.rmdir()
    writer.ledger.add("searched", by, clock(), **outcome.counts, problems=outcome.problems)
    writer.finish(key, clock(), timestamp=request.timestamp)
    outcome.fingerprint = fingerprint(key.public_key())
