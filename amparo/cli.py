"""The one command. Parses what the user typed, calls the part of the house that does it, and says what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import amparo
from amparo import clock
from amparo.errors import AmparoError, UsedWrongly


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsedWrongly(f"{message[:1].upper()}{message[1:]}. Type “{self.prog} --help” for how it is used.")


def build_parser() -> argparse.ArgumentParser:
    """Every command and option; a test holds the documentation against this."""
    parser = _Parser(
        prog="amparo", description="Searches computers lawfully, matches what they hold, and seals the evidence."
    )
    parser.add_argument("--version", action="version", version=f"amparo {amparo.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    search = commands.add_parser("search", help="search a folder or a disk image and write an evidence package")
    search.add_argument(
        "source", type=Path, metavar="SOURCE", help="a folder, a disk image, or a device such as /dev/sdb"
    )
    search.add_argument(
        "--order", type=Path, required=True, metavar="ORDER.toml", help="the order that allows this search"
    )
    search.add_argument(
        "--out", type=Path, required=True, metavar="PACKAGE", help="the folder to write; it must not exist yet"
    )
    search.add_argument(
        "--known",
        type=Path,
        action="append",
        default=[],
        metavar="LIST",
        help="a list of known material; may be repeated",
    )
    search.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="KEY",
        help="an age key that may open what is gathered; may be repeated",
    )
    search.add_argument(
        "--gather",
        action="append",
        default=[],
        metavar="PATTERN",
        help="gather files whose path matches, such as '*.docx'; may be repeated",
    )
    search.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="a password, recovery key or key file (@FILE) of an encrypted volume; may be repeated",
    )
    search.add_argument(
        "--workers", type=int, default=None, metavar="N", help="how many processes work (default: one a core)"
    )
    search.add_argument("--engine", metavar="URL", help="reserved: a cluster to work on")
    search.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    search.add_argument("--triage", action="store_true", help="stop after pictures, films and people's folders")
    search.add_argument("--no-carve", action="store_true", help="leave free space alone")
    search.add_argument("--no-inside", action="store_true", help="do not open archives and thumbnail caches")
    search.add_argument("--no-pdf", action="store_true", help="write the report as HTML only")
    search.add_argument(
        "--source-digest",
        choices=("both", "once", "none"),
        default="both",
        help="take the source's digest before and after (default), once, or not at all",
    )
    search.add_argument(
        "--seconds-a-file",
        type=float,
        default=120.0,
        metavar="S",
        help="the longest one file may take (default 120, and more for large ones)",
    )
    search.add_argument("--timestamp", metavar="URL", help="an RFC 3161 time-stamp server that dates the seal")
    search.add_argument("--language", choices=("pt", "en"), default="pt", help="the report's language")
    search.add_argument("--json", action="store_true", help="print the result for programs")

    verify = commands.add_parser("verify", help="check a package and name the first thing that is wrong")
    verify.add_argument("package", type=Path, metavar="PACKAGE")
    verify.add_argument(
        "--fingerprint",
        metavar="HEX",
        help="of the examiner's key, as the examiner handed it over: another key's seal is then wrong",
    )
    verify.add_argument("--json", action="store_true", help="print the result for programs")

    report = commands.add_parser("report", help="write a package's report again, as HTML and PDF")
    report.add_argument("package", type=Path, metavar="PACKAGE")
    report.add_argument("--language", choices=("pt", "en"), default="pt")

    export = commands.add_parser("export", help="write a package's tables in a standard format")
    export.add_argument("package", type=Path, metavar="PACKAGE")
    export.add_argument("--format", required=True, choices=("case", "vics", "dfxml", "timeline", "csv"))
    export.add_argument(
        "--version", dest="format_version", metavar="V", help="of the format, where there are several: VICS 1.3 or 2.0"
    )
    export.add_argument("--out", type=Path, required=True, metavar="FILE")

    seal = commands.add_parser("seal", help="make the sealed duplicate for the judicial secretary")
    seal.add_argument("package", type=Path, metavar="PACKAGE")
    seal.add_argument(
        "--duplicate",
        type=Path,
        required=True,
        metavar="OUT",
        help="where the duplicate goes, such as an empty USB disk",
    )
    seal.add_argument("--to", default="", metavar="WHO", help="who receives it")

    order = commands.add_parser("order", help="check an order file, or print an example to fill in")
    order.add_argument("file", type=Path, nargs="?", metavar="ORDER.toml")

    demo = commands.add_parser("demo", help="the whole road on generated data")
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="FOLDER")
    demo.add_argument("--language", choices=("pt", "en"), default="pt")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code of the contract."""
    try:
        given = build_parser().parse_args(arguments)
        return int(_COMMANDS[given.command](given) or 0)
    except AmparoError as error:
        print(f"amparo: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        print("\namparo: stopped; run the same command with --resume to go on.", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        print(
            f"amparo: {error.strerror or error}{place}: put this right and run the command again, with --resume for a search.",
            file=sys.stderr,
        )  # noqa: T201
        return 2


def _say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def _search(given: argparse.Namespace) -> int:
    from amparo.evidence import examination, gathering
    from amparo.evidence.order import read_order
    from amparo.evidence.search import Options
    from amparo.terminal import Terminal

    if given.engine:
        raise UsedWrongly("No cluster engine is built into this version: leave --engine out.")
    if given.workers is not None and given.workers < 1:
        raise UsedWrongly("--workers takes a number from 1 up.")
    if given.gather and not given.recipient:
        raise UsedWrongly("--gather needs at least one --recipient: contents are never written in clear.")
    recipients = dict.fromkeys(key for text in given.recipient for key in gathering.parse_recipient(text))
    order = read_order(given.order)
    options = Options(
        workers=given.workers or len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        keys=tuple(given.key),
        triage=given.triage,
        carve=not given.no_carve,
        containers=not given.no_inside,
        gather=tuple(given.gather),
        recipients=tuple(recipients),
        seconds_a_file=given.seconds_a_file,
    )
    stamp = None
    if given.timestamp:
        from amparo import timestamping

        def stamp(digest: bytes) -> bytes:
            return timestamping.timestamp(given.timestamp, digest)

    request = examination.Request(
        given.source, order, given.out, options, tuple(given.known), given.resume, given.language, given.source_digest,
        not given.no_pdf, timestamp=stamp,
    )  # fmt: skip
    terminal = Terminal(quiet=given.json)
    outcome = examination.examine(request, terminal, clock.now)
    terminal.finish()
    if given.json:
        _say(json.dumps({"package": str(given.out), "counts": outcome.counts, "problems": outcome.problems}))
    else:
        counts = outcome.counts
        states = ", ".join(
            f"{counts[state]:,} {state}"
            for state in ("live", "deleted", "orphan", "carved", "inside")
            if counts.get(state)
        )
        _say(f"Files: {states or 'none'}. Matches with known material: {counts.get('matched', 0):,} files.")
        if outcome.problems:
            _say(f"{outcome.problems:,} things could not be read: see the report, or the table problems.")
        _say(f"Report:  {given.out / 'data' / 'report.html'}")
        _say(f"Verify:  amparo verify {given.out}")
    return outcome.exit_code


def _verify(given: argparse.Namespace) -> int:
    from amparo.evidence import package

    findings = package.verify(given.package, given.fingerprint)
    wrong = next((finding for finding in findings if not finding.ok), None)
    if given.json:
        _say(
            json.dumps(
                {"holds": wrong is None, "findings": [{"ok": f.ok, "what": f.what} for f in findings]},
                ensure_ascii=False,
            )
        )
    else:
        for finding in findings:
            if finding.ok:
                _say(f"  ok     {finding.what}")
        if wrong is not None:
            _say(f"  WRONG  {wrong.what}")
        else:
            _say("The package holds: nothing was changed, added or taken away since it was sealed.")
    return 0 if wrong is None else 1


def _report(given: argparse.Namespace) -> int:
    from amparo.evidence import package, report, seal

    wrong = next((f for f in package.verify(given.package) if not f.ok), None)
    if wrong is not None:
        raise UsedWrongly(f"The report is not written again on a package that does not hold: {wrong.what}")
    key = seal.load_or_create_key(seal.default_key_path())
    data, by = given.package / "data", os.environ.get("USER", "unknown")
    with tempfile.TemporaryDirectory() as folder:  # the sealed package changes at once, when all is ready
        written = report.write_report(data / "evidence.sqlite", Path(folder), given.language)
        files = {f"data/{path.name}": path for path in written}
        package.reseal(given.package, key, clock.now(), "report written again", by, files)
    for path in written:
        _say(data / path.name)
    return 0


def _export(given: argparse.Namespace) -> int:
    from amparo.evidence import exports

    rows = exports.export(given.package, given.format, given.out, version=given.format_version)
    _say(f"{given.out}: {rows:,} entries written.")
    return 0


def _seal(given: argparse.Namespace) -> int:
    from amparo.evidence import package, seal

    key = seal.load_or_create_key(seal.default_key_path())
    receipt = package.duplicate(given.package, given.duplicate, key, clock.now(), to=given.to)
    _say(f"The duplicate is at {given.duplicate}; its receipt is {receipt}.")
    return 0


def _order(given: argparse.Namespace) -> int:
    from amparo.evidence import order

    if given.file is None:
        _say(order.EXAMPLE.rstrip())
        return 0
    read = order.read_order(given.file)
    read.require("search", clock.now())
    _say(f"The order {read.reference} allows a search until {read.lapses_on.isoformat()}, the last day included.")
    return 0


def _demo(given: argparse.Namespace) -> int:
    from amparo import demo

    return demo.run(given.out, given.language)


_COMMANDS = {
    "search": _search, "verify": _verify, "report": _report, "export": _export, "seal": _seal, "order": _order, "demo": _demo,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
