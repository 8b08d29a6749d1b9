"""What the program can say, read from its source: every sentence, and every part of one, that may reach a user.

A sentence is known by its shape: its words, with ``{}`` where a value stands. In the modules that speak, every text with a
space in it is taken for a sentence unless it is plainly something else (a docstring, SQL, a pattern); in those that write
formats of others, only what is raised or found is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import amparo
from amparo import errors

PROGRAM = Path(amparo.__file__).parent

# What these write goes into files whose words are a contract, or is content that was made up; only what they raise is said.
WRITERS = (
    "demo/", "evidence/exports/", "known/lists/writers/", "evidence/tables.py", "evidence/working_tables.py",
    "evidence/plan.py", "evidence/duplicate.py",
    "fault.py",
)  # fmt: skip
# What these say is in words.*.toml already.
WORDED = ("terminal.py", "language.py", "translation.py", "evidence/report/page.py", "evidence/report/statements.py")

_SQL = re.compile(
    r"\s*(select|insert|update|delete|create|drop|pragma|attach|detach|begin|with recursive|explain)\b", re.ASCII
)
_SAYERS = {"Finding", "_say", "_must_hold", "LedgerBroken"}
_UNSAID = {"compile", "match", "fullmatch", "execute", "executemany", "executescript", "namedtuple", "strftime"}


class Said(NamedTuple):
    """A shape and the place where the source has it."""

    shape: str
    place: str


def shape_of(node: ast.expr) -> str | None:
    """The shape of an expression that makes a text; None where it makes none, or cannot be read."""
    if isinstance(node, ast.Constant):
        return node.value.replace("{", "{{").replace("}", "}}") if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else shape_of(part) or "" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [shape_of(node.left), shape_of(node.right)]
        return None if sides == [None, None] else "".join("{}" if side is None else side for side in sides)
    return None


@cache
def said() -> tuple[Said, ...]:
    """Every shape in the source, in the order of its files."""
    found: list[Said] = []
    for path in sorted(PROGRAM.rglob("*.py")):
        name = path.relative_to(PROGRAM).as_posix()
        if not name.startswith(WORDED):
            tree = ast.parse(path.read_text("utf-8"))
            found += [Said(shape, f"{name}:{line}") for shape, line in _Module(tree, name.startswith(WRITERS)).shapes()]
    return tuple(found)


@cache
def literals() -> frozenset[str]:
    """Every text of the source, a single word too."""
    found = set()
    for path in PROGRAM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                found.add(shape_of(node) or "")
    return frozenset(found)


class _Module:
    def __init__(self, tree: ast.Module, writer: bool) -> None:
        self.tree, self.writer = tree, writer
        self.above = {below: node for node in ast.walk(tree) for below in ast.iter_child_nodes(node)}

    def shapes(self) -> Iterator[tuple[str, int]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
                between = shape_of(node.func.value)
                if between and between.strip().isalpha() and between != between.strip():
                    yield "{}" + between + "{}", node.lineno
            if not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                continue
            shape = shape_of(node)
            if shape and _is_sentence(shape) and self._is_said(node):
                yield shape, node.lineno

    def _is_said(self, node: ast.expr) -> bool:
        spoken = not self.writer
        child: ast.AST = node
        while (parent := self.above.get(child)) is not None:
            if child is node and (_makes_text(parent) or isinstance(parent, ast.Expr | ast.Compare | ast.Attribute)):
                return False  # a part of a longer text, a docstring, or what stands between others (" or ".join)
            if isinstance(parent, ast.Call):
                name = _name(parent.func)
                if name in _UNSAID:
                    return False
                spoken |= _is_error(name) or name in _SAYERS
            if isinstance(parent, ast.stmt):
                break
            child = parent
        return spoken


def _makes_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.BinOp) and shape_of(node) is not None)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_error(name: str) -> bool:
    kind = getattr(errors, name, None)
    return isinstance(kind, type) and issubclass(kind, errors.AmparoError)


def _is_sentence(shape: str) -> bool:
    words = re.findall(r"[^\W\d_]{2,}", shape.replace("{}", " "))
    return " " in shape and len(words) > 0 and not _SQL.match(shape)
