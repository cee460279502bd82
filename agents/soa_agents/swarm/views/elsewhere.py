"""What other modules have to say about a function: imports, what may serve, callers. Pure.

As in `material`, every function looks at a handful of files and returns a bounded number of pieces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from soa_agents.swarm.views.lookup import find, module_name
from soa_agents.swarm.views.material import Focus, Piece, is_short, listed, name_parts
from soa_agents.swarm.views.skim import Skim, brief, class_line, counts, indented, skim
from soa_agents.workspace.functions import Function, dedented, functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.syntax import parse, walk

_IMPORTED, _USEFUL = 8, 3
_RARE = 20  # functions with a word in their names that it still tells apart
_WHOLE = 3  # short functions that are quoted whole
_SHORT_CALLER = 900  # characters of a caller that is quoted whole


class Graph(Protocol):
    """Who calls whom in the workspace."""

    def callees(self, function: FunctionId, /) -> Iterable[FunctionId]:
        """The functions it calls."""

    def callers(self, function: FunctionId, /) -> Iterable[FunctionId]:
        """The functions that call it."""


def imported(focus: Focus, texts: Mapping[str, str], graph: Graph) -> tuple[Piece, ...]:
    """What of other files the function calls as it stands, then what its module imports by name.

    Each has the name it has here; it is whole where it is short and what is known of the function names it.
    """
    called = [f for f in graph.callees(focus.function) if f.path != focus.function.path]
    found = [(f.name, skim(f.path, texts.get(f.path, "")), f.qualname) for f in called]
    known = {(file.path, qualname) for _, file, qualname in found}
    more = [each for each in _by_name(focus, texts) if (each[1].path, each[2]) not in known]
    chosen = [*found, *more][:_IMPORTED]
    modules = list(dict.fromkeys(file.path for _, file, _ in chosen))
    pieces: list[Piece] = []
    for number, (name, file, qualname) in enumerate(chosen):
        likely = number < len(found) or name in focus.called
        whole = likely and sum(not p.compact for p in pieces) < _WHOLE
        if piece := _of_another(focus, (name, file, qualname), texts, whole):
            place = modules.index(file.path) * 100 + number
            pieces.append(Piece(piece.text, place, piece.under, piece.compact))
    return tuple(pieces)


def _by_name(focus: Focus, texts: Mapping[str, str]) -> list[tuple[str, Skim, str]]:
    """The workspace's own things that the module imports: name here, file, name there; likely ones first."""
    each = (i for b in focus.skim.bindings for i in b.imports if i.attribute)
    found = [(i.name, *at) for i in each if (at := find(focus.skim, texts, i.name))]
    found = [item for item in found if item[1].path != focus.skim.path]
    used = counts(focus.skim.text)

    def rank(item: tuple[str, Skim, str]) -> tuple[bool, int, int]:
        return (item[0] not in focus.called, -focus.likeness(item[2]), -used[item[0]])

    return sorted(found, key=rank)


def _of_another(
    focus: Focus, what: tuple[str, Skim, str], texts: Mapping[str, str], whole: bool
) -> Piece | None:
    """A function, class or constant of another module, under that module's name."""
    name, file, qualname = what
    note = f"called `{name}` here" if name != qualname.rpartition(".")[2] else ""
    under = f"# {module_name(file.path, texts)}"
    item = file.function(qualname) or file.class_named(qualname)
    if item is None:
        constant = file.constant(qualname)
        remark = f"  # {note}" if note else ""
        return Piece(f"{constant.short}{remark}", under=under, compact=True) if constant else None
    whole = whole and isinstance(item, Function) and is_short(item)
    text = listed(focus, file, item, whole, note)
    if whole and note:
        text = f"# {note}\n{text}"
    if isinstance(item, Function) and item.owner:
        text = f"{class_line(file, item.owner)}\n{indented(text)}"
    return Piece(text, under=under, compact=not whole)


def callers(
    focus: Focus, texts: Mapping[str, str], graph: Graph, shown: frozenset[FunctionId] = frozenset()
) -> dict[FunctionId, Piece]:
    """Two callers, `shown` ones left out: whole where short, else the lines around the calls."""
    pieces: dict[FunctionId, Piece] = {}
    for caller in islice(sorted(graph.callers(focus.function)), 40):
        if len(pieces) == 2:
            break
        found = skim(caller.path, texts.get(caller.path, "")).function(caller.qualname)
        if found and caller not in shown and not is_test_file(caller.path):
            code = dedented(texts[caller.path], found)
            if quoted := _calls(code, focus.function.name):
                pieces[caller] = Piece(f"# {caller}\n{quoted}", len(pieces))
    return pieces


def _calls(code: str, name: str) -> str:
    """A function's code as far as it shows how it uses `name`; strings and comments do not use it."""
    syntax = parse(code)
    definition = functions("", code)[0]
    rows = [
        node.start_point[0]
        for node in walk(syntax.root)
        if node.type == "identifier" and syntax.source(node) == name and syntax.span(node) != definition.name
    ]
    lines = code.split("\n")
    if not rows or len(code) <= _SHORT_CALLER:
        return code if rows else ""
    body = code[: definition.body.start].count("\n")
    near = {r + n for r in rows[:3] for n in range(-4, 3) if body <= r + n < len(lines)}
    head = brief(code, definition).replace(": ...", ":", 1)
    quoted, last = [head], body - 1
    for row in sorted(near):
        quoted += ["    ..."] if row != last + 1 else []
        quoted += [lines[row][:200]] if lines[row].strip() else []
        last = row
    return "\n".join(quoted + (["    ..."] if last < len(lines) - 1 else []))


def by_word(functions: Iterable[FunctionId]) -> Mapping[str, tuple[FunctionId, ...]]:
    """The functions that may be suggested, by the words of their names: what a module offers to others."""
    found: defaultdict[str, list[FunctionId]] = defaultdict(list)
    for each in functions:
        if not each.name.startswith("_") and "." not in each.qualname:
            for word in name_parts(each.name):
                found[word].append(each)
    return {word: tuple(named) for word, named in found.items()}


def useful(
    focus: Focus,
    texts: Mapping[str, str],
    known: Mapping[str, Sequence[FunctionId]],
    shown: frozenset[FunctionId],
) -> tuple[Piece, ...]:
    """A few functions of other modules whose names share telling words with the function.

    `known` are functions by the words of their names. A word of many names tells nothing by itself, so that
    a large workspace does not suggest more than a small one.
    """
    own = name_parts(focus.function.name)
    spoken = frozenset(w.lower() for w in focus.words)
    shared = Counter(each for word in own for each in known.get(word, ()))
    telling = {each for word in own if len(known.get(word, ())) <= _RARE for each in known.get(word, ())}
    scored = []
    for each, common in shared.items():
        if each.path == focus.function.path or each in shown or (common == 1 and each not in telling):
            continue
        parts = name_parts(each.name)
        score = 2 * common + len(parts & spoken) - 0.25 * len(parts)
        if score >= 1.5:
            scored.append((-score, each))
    chosen = (each for _, each in sorted(scored)[:_USEFUL])
    found = ((f.name, skim(f.path, texts.get(f.path, "")), f.qualname) for f in chosen)
    return tuple(p for each in found if (p := _of_another(focus, each, texts, False)))
