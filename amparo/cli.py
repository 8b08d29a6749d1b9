"""The one command. Parses what the user typed, calls the part of the house that does it, and says what came of it."""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from amparo import clock, fault
from amparo.arguments import build_parser
from amparo.errors import AmparoError, PackageWrong, UsedWrongly
from amparo.language import counted, said
from amparo.terminal import Terminal, tell, visible
from amparo.translation import here

if TYPE_CHECKING:
    from amparo.evidence.examination import Outcome
    from amparo.evidence.order import Order

__all__ = ["build_parser", "main"]

STOPPED = 130  # what a shell gives for a command that Ctrl-C ended
FAULT = 70  # EX_SOFTWARE of sysexits.h: the program is wrong, not the user (docs/decisions/005)
STATES = ("live", "deleted", "orphan", "carved", "inside")
RECEIPT = ".receipt.json"
SOON = 3  # days before its last one from which an order is said to lapse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code of the contract. Whatever happens, what is said is one line and no traceback."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    _leave_no_memory_behind()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name must not end a run on an old terminal
    command = next((word for word in typed if word in _COMMANDS), "")
    searching = "_search" if command == "search" else ""
    try:
        given = build_parser().parse_args(typed)
        return int(_COMMANDS[given.command](given) or 0)
    except AmparoError as error:
        return _end(here(str(error)), error.exit_code)
    except KeyboardInterrupt:
        return _end(said(f"stopped{searching}"), STOPPED)
    except MemoryError:
        return _end(said("out_of_memory"), UsedWrongly.exit_code)
    except OSError as error:
        place = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
        why = here(error.strerror or str(error) or type(error).__name__)
        return _end(said(f"system_error{searching}", why=why, place=place), UsedWrongly.exit_code)
    except Exception as error:
        log = fault.keep(error, typed, clock.now())
        what = type(error).__name__
        return _end(said("fault", what=what, log=log) if log else said("fault_no_log", what=what), FAULT)
    finally:
        gc.enable()


def _leave_no_memory_behind() -> None:
    """No core dump: this process holds the signing key, and contents while they are read."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _end(sentence: str, code: int) -> int:
    tell(f"amparo: {visible(sentence)}", sys.stderr)
    return code


def _note(sentence: str) -> None:
    tell(f"amparo: {said('note')}: {visible(sentence)}", sys.stderr)


def _search(given: argparse.Namespace) -> int:
    gc.disable()  # what is loaded here is never garbage
    from amparo.evidence import examination, gathering
    from amparo.evidence.order import read_order
    from amparo.evidence.search import Options

    order = read_order(given.order)
    order.require("search", clock.now())
    if given.engine:
        from amparo.cluster import must_be_address

        must_be_address(given.engine)
    if given.gather and not given.recipient:
        raise UsedWrongly("--gather needs at least one --recipient: contents are never written in clear.")
    recipients = dict.fromkeys(key for text in given.recipient for key in gathering.parse_recipient(text))
    if recipients:
        order.require("gather", clock.now())
    options = Options(
        workers=given.workers or (0 if given.engine else _cores()),
        keys=tuple(given.key),
        triage=given.triage,
        carve=not given.no_carve,
        containers=not given.no_inside,
        fingerprints=not given.no_fingerprints,
        gather=tuple(given.gather),
        recipients=tuple(recipients),
        seconds_a_file=given.seconds_a_file,
        engine=given.engine,
    )
    request = examination.Request(
        given.source, order, given.out, options, tuple(given.known), given.resume, given.language, given.source_digest,
        not given.no_pdf, timestamp=_stamp(given.timestamp) if given.timestamp else None,
    )  # fmt: skip
    terminal = Terminal(given.json, None if given.json else lambda: _tell_order(order, clock.now()))
    gc.freeze()  # neither this process nor its children need look through it again
    gc.enable()
    outcome = examination.examine(request, terminal, clock.now)
    terminal.finish()
    if given.json:
        tell(
            json.dumps(
                {
                    "package": str(given.out),
                    "counts": outcome.counts,
                    "problems": outcome.problems,
                    "fingerprint": outcome.fingerprint,
                }
            )
        )
    else:
        _tell_outcome(outcome, given.out)
    return outcome.exit_code


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stamp(url: str) -> Callable[[bytes], bytes]:
    from amparo import timestamping

    return lambda digest: timestamping.timestamp(url, digest)


def _until(order: Order) -> str:
    return said("until_day", day=order.lapses_on.isoformat()) if order.lapses_on else said("no_last_day")


def _tell_order(order: Order, now: datetime) -> None:
    """What the examiner should know of the order before the search begins."""
    line = said("under_order", reference=order.reference, article=order.law.article, until=_until(order))
    tell(visible(line), sys.stderr)
    _tell_warnings(order, now)


def _tell_warnings(order: Order, now: datetime) -> None:
    if order.training:
        _note(said("training"))
    if not order.law.checked:
        _note(said("unconfirmed"))
    last = order.lapses_soon(now, SOON)
    if last:
        _note(said("lapses_today") if order.lapses_soon(now, 0) else said("lapses_soon", day=last.isoformat()))
    for warning in order.warnings:
        _note(here(warning))


def _tell_outcome(outcome: Outcome, out: Path) -> None:
    counts = outcome.counts
    states = ", ".join(said(state, count=counts[state]) for state in STATES if counts.get(state))
    tell(said("files", states=states or said("none")))
    tell(counted("matched", counts.get("matched", 0)))
    if counts.get("gathered"):
        tell(counted("gathered", counts["gathered"]))
    if outcome.problems:
        tell(counted("problems", outcome.problems))
    tell(visible(said("report_at", path=out / "data" / "report.html")))
    tell(said("sealed_by", fingerprint=outcome.fingerprint))
    tell(visible(said("verify_with", path=out)))


def _verify(given: argparse.Namespace) -> int:
    from amparo.evidence import package, seal

    receipt = given.package.is_file()
    if receipt:  # beside the duplicate that it came with
        beside = given.package.with_name(given.package.name.removesuffix(RECEIPT))
        findings = package.check_receipt(given.package, beside if beside.is_dir() else None)
    else:
        findings = package.verify(given.package, given.fingerprint, seal.read_roots(given.authority))
    wrong = next((finding for finding in findings if not finding.ok), None)
    if given.json:
        listed = [{"ok": finding.ok, "what": finding.what} for finding in findings]
        tell(json.dumps({"holds": wrong is None, "findings": listed}, ensure_ascii=False))
    else:
        width = max(len(said("ok")), len(said("wrong")))
        for finding in findings:
            if finding.ok:
                tell(f"  {said('ok'):{width}}  {visible(here(finding.what))}")
        if wrong is not None:
            tell(f"  {said('wrong'):{width}}  {visible(here(wrong.what))}")
        else:
            tell(said("receipt_holds" if receipt else "holds"))
    return 0 if wrong is None else PackageWrong.exit_code


def _report(given: argparse.Namespace) -> int:
    from amparo.evidence import package, report, seal

    key = seal.load_or_create_key(seal.default_key_path())
    package.check_sealer(given.package, key, given.fingerprint)
    package.settle(given.package)
    wrong = next((finding for finding in package.verify(given.package) if not finding.ok), None)
    if wrong is not None:
        raise PackageWrong(f"The report is not written again on a package that does not hold: {wrong.what}")
    data, by = given.package / "data", os.environ.get("USER", "unknown")
    with tempfile.TemporaryDirectory() as folder:  # the sealed package changes at once, when all is ready
        written = report.write_report(data / "evidence.sqlite", Path(folder), given.language)
        files = {f"data/{path.name}": path for path in written}
        why = "report written again"
        package.reseal(given.package, key, clock.now(), why, by, files, expected_key=given.fingerprint)
    for path in written:
        tell(visible(str(data / path.name)))
    return 0


def _export(given: argparse.Namespace) -> int:
    from amparo.evidence import exports

    rows = exports.export(given.package, given.format, given.out, version=given.format_version)
    tell(visible(said("written", path=given.out, count=rows)))
    return 0


def _seal(given: argparse.Namespace) -> int:
    from amparo.evidence import package, seal

    key = seal.load_or_create_key(seal.default_key_path())
    receipt = package.duplicate(given.package, given.duplicate, key, clock.now(), to=given.to)
    place = receipt.with_name(receipt.name.removesuffix(RECEIPT))  # at the root of a disk it is a folder there
    tell(visible(said("duplicate_at", path=place, receipt=receipt)))
    return 0


def _order(given: argparse.Namespace) -> int:
    from amparo.evidence import order

    if given.file is None:
        tell(order.EXAMPLE.rstrip())
        return 0
    read, now = order.read_order(given.file), clock.now()
    read.require("search", now)
    if given.json:
        tell(json.dumps(read.as_dict(), ensure_ascii=False))
        return 0
    _tell_warnings(read, now)
    allows = said("order_allows", reference=read.reference, article=read.law.article, until=_until(read))
    tell(visible(allows))
    return 0


def _demo(given: argparse.Namespace) -> int:
    from amparo import demo

    return demo.run(given.out, given.language)


def _known(given: argparse.Namespace) -> int:
    from amparo import cli_known

    return cli_known.VERBS[given.verb](given)


def _provider(given: argparse.Namespace) -> int:
    from amparo import cli_provider

    return cli_provider.VERBS[given.verb](given)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "search": _search,
    "verify": _verify,
    "report": _report,
    "export": _export,
    "seal": _seal,
    "order": _order,
    "known": _known,
    "provider": _provider,
    "demo": _demo,
}


if __name__ == "__main__":
    sys.exit(main())
