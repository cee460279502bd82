"""A name in the text of a function or statement changed, wherever it means what is renamed. Pure."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from soa_agents.swarm.code import Def, docstring_node
from soa_agents.swarm.source import character_at

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Scope = Def | ast.Lambda | ast.ClassDef | _Comprehension
_FSTRINGS_HAVE_PLACES = sys.version_info >= (
    3,
    12,
)  # before, nodes inside of them did not say where they stand


@dataclass(frozen=True, slots=True)
class Renaming:
    """`old` becomes `new`: a module-level name, or with an `owner` a method of the class of that name."""

    old: str
    new: str
    owner: str = ""


def renamed(source: str, renaming: Renaming, own: bool = True) -> str:
    """`source` with the name changed; `own` says that the function in it is the one which is renamed.

    What a function, lambda or comprehension binds for itself stays, and so do keywords and other texts. A
    method is known by `self`, `cls` or its class, and with an underscore before its name by any object: a
    private method is hardly another class's. Docstring examples and f-strings follow.
    """
    lines = source.split("\n")
    uses = _Uses(renaming)
    for statement in ast.parse(source).body:
        uses.top(statement, own)
    places = [_place(node, lines, renaming.old) for node in uses.found]
    places += [place for node in uses.texts for place in _in_text(node, lines, renaming)]
    for row, start in sorted({*places}, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:start] + renaming.new + line[start + len(renaming.old) :]
    return "\n".join(lines)


@dataclass(slots=True)
class _Uses:
    """Collects the nodes that mean what is renamed, and the texts that may name it."""

    renaming: Renaming
    found: list[ast.expr | ast.stmt] = field(default_factory=list)
    texts: list[ast.expr | ast.stmt] = field(default_factory=list)
    in_class: bool = False  # `self` is another class's

    def top(self, node: ast.stmt, own: bool) -> None:
        """A statement that stands at the left margin."""
        meant = own if isinstance(node, Def) else not self.renaming.owner
        if isinstance(node, Def | ast.ClassDef) and node.name == self.renaming.old and meant:
            self.found.append(node)
        self.visit(node)

    def visit(self, node: ast.AST) -> None:
        """A node and all below it."""
        old, owner = self.renaming.old, self.renaming.owner
        match node:
            case ast.Name(id=name) if name == old and not owner:
                self.found.append(node)
            case ast.Global(names=names) if old in names and not owner:
                self.found.append(node)
            case ast.Attribute(attr=name) if name == old and owner and self._is_owners(node.value):
                self.found.append(node)
            case ast.JoinedStr() if not _FSTRINGS_HAVE_PLACES:
                self.texts.append(node)
                return
        if isinstance(node, _Scope):
            self._scope(node)
        else:
            self._all(ast.iter_child_nodes(node))

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _is_owners(self, base: ast.expr) -> bool:
        """Whether an attribute of `base` is the owner's."""
        name = base.id if isinstance(base, ast.Name) else ""
        if name in ("self", "cls"):
            return not self.in_class
        return name == self.renaming.owner or self.renaming.old.startswith("_")

    def _scope(self, node: _Scope) -> None:
        """What stands before a scope belongs outside; what is in it only where the name is not its own."""
        if isinstance(node, Def | ast.ClassDef) and (docstring := docstring_node(node)):
            self.texts.append(docstring)
        outer, self.in_class = self.in_class, self.in_class or isinstance(node, ast.ClassDef)
        if self.renaming.owner or not _binds(node, self.renaming.old):
            self._all(ast.iter_child_nodes(node))
        elif isinstance(node, _Comprehension):
            self.visit(node.generators[0].iter)
        else:
            inside = node.body if isinstance(node.body, list) else [node.body]
            self._all(each for each in ast.iter_child_nodes(node) if each not in inside)
            if isinstance(node, ast.ClassDef):  # its methods do not see what it binds
                self._all(each for each in node.body if isinstance(each, Def))
        self.in_class = outer


def _binds(scope: _Scope, name: str) -> bool:
    """Whether a scope has a variable of that name which is its own."""
    bound, outside = False, False
    stack: list[ast.AST] = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        outside = outside or (isinstance(node, ast.Global) and name in node.names)
        bound = bound or name in _bound_by(node)
        if not isinstance(node, _Scope):
            stack.extend(ast.iter_child_nodes(node))
    return bound and not outside


def _bound_by(node: ast.AST) -> Iterator[str | None]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]


def _place(node: ast.expr | ast.stmt, lines: Sequence[str], name: str) -> tuple[int, int]:
    """Row (from 1) and column (in characters) of the name in a node that names it."""
    if isinstance(node, ast.Attribute):
        row = node.end_lineno or node.lineno
        return row, character_at(lines, row, node.end_col_offset or 0) - len(name)
    start = character_at(lines, node.lineno, node.col_offset)
    found = re.compile(rf"\b{re.escape(name)}\b").search(lines[node.lineno - 1], start)
    return node.lineno, found.start() if found else start


def _in_text(
    node: ast.expr | ast.stmt, lines: Sequence[str], renaming: Renaming
) -> Iterator[tuple[int, int]]:
    """Where a docstring's examples or the braces of an f-string name it."""
    word = _spelling(renaming)
    last = node.end_lineno or node.lineno
    depth = 0
    for row in range(node.lineno, last + 1):
        line = lines[row - 1]
        start = character_at(lines, row, node.col_offset) if row == node.lineno else 0
        end = character_at(lines, row, node.end_col_offset or 0) if row == last else len(line)
        if isinstance(node, ast.stmt):
            if line[start:end].lstrip("\"'rRuU \t").startswith((">>>", "...")):
                yield from ((row, found.start()) for found in word.finditer(line, start, end))
            continue
        for found in re.finditer(r"\{\{|\}\}|\{|\}|" + word.pattern, line[start:end]):
            depth += (found[0] == "{") - (found[0] == "}")
            if depth and found[0] == renaming.old:
                yield row, start + found.start()


def _spelling(renaming: Renaming) -> re.Pattern[str]:
    """How the name stands in a text."""
    name = re.escape(renaming.old)
    if not renaming.owner:
        return re.compile(rf"(?<![\w.]){name}\b(?!\s*=[^=])")
    if renaming.old.startswith("_"):
        return re.compile(rf"(?<=\.){name}\b")
    bases = ("self", "cls", re.escape(renaming.owner))
    return re.compile("|".join(rf"(?<=\b{base}\.){name}\b" for base in bases))
