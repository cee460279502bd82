"""What the workspace has to say about one function: pieces of text, the most telling first. Pure.

Every function here looks at a handful of files, whatever the size of the workspace, and returns pieces
bounded in number and length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Protocol

from soa_agents.swarm.bindings import Binding, words
from soa_agents.swarm.lookup import find, find_class, module_name
from soa_agents.swarm.skim import Class, Skim, brief, class_line, code_of, counts, indented, skim
from soa_agents.workspace.functions import Function, functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import class_header, docstring_place
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.syntax import parse, walk

_BINDINGS, _SIBLINGS, _METHODS, _IMPORTED, _USEFUL, _TYPES = 60, 14, 6, 8, 5, 6
_ALL = 40  # functions of the module that are listed where everything in it matters
_WHOLE = 3  # short functions that are quoted whole
_SHORT_FUNCTION = 900  # characters of such a one
_WHOLE_VALUE = 1500  # characters of a constant that is quoted whole
_MODULE_DOCSTRING = 1200
_COMMON = words("get set is has to from for of the and or in on by with new")


class Graph(Protocol):
    """Who calls whom in the workspace."""

    def callees(self, function: FunctionId, /) -> Iterable[FunctionId]:
        """The functions it calls."""

    def callers(self, function: FunctionId, /) -> Iterable[FunctionId]:
        """The functions that call it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a section. Pieces are chosen in the order given and shown in the order of `place`.

    `under` is a line that neighbours in the same class or module have in common and that is shown once.
    `compact` pieces stand without blank lines between them.
    """

    text: str
    place: int = 0
    under: str = ""
    compact: bool = False


@dataclass(frozen=True, slots=True)
class Focus:
    """The function in question, where it stands, and what is known of it.

    `words` are all identifiers in its specification, code and tests; `called` those that look like code there
    (`name(`, backticks); `code` is what it is now, if anything; `along` what ran in the tests that run it.
    """

    function: FunctionId
    skim: Skim
    words: frozenset[str] = field(default_factory=frozenset)
    called: frozenset[str] = field(default_factory=frozenset)
    code: str = ""
    unwritten: frozenset[FunctionId] = field(default_factory=frozenset)
    along: frozenset[FunctionId] = field(default_factory=frozenset)

    @property
    def owner(self) -> str:
        """The class or function it stands in, by qualified name."""
        return self.function.qualname.rpartition(".")[0].removesuffix(".<locals>")

    def likeness(self, name: str) -> int:
        """How many telling words a name has in common with the function's."""
        return len(name_parts(name) & name_parts(self.function.name))


def called_in(text: str) -> frozenset[str]:
    """The names that a text calls, or sets in backticks."""
    quoted = " ".join(re.findall(r"`+([^`\n]+)`+", text))
    return frozenset(re.findall(r"([^\W\d]\w*)\s*\(", text)) | words(quoted)


def header(focus: Focus) -> tuple[Piece, ...]:
    """The module's docstring, its imports, the constants that may matter whole, then other ones in short."""
    bindings = list(enumerate(focus.skim.bindings, 1))

    def rank(numbered: tuple[int, Binding]) -> tuple[bool, bool]:
        return (not numbered[1].imports, not _matters(focus, numbered[1]))

    chosen = sorted(bindings, key=rank)[:_BINDINGS]
    listed = [Piece(_quoted_binding(focus, b), place, compact=True) for place, b in chosen]
    return (*_module_docstring(focus), *listed)


def _module_docstring(focus: Focus) -> Iterator[Piece]:
    """Whole where it speaks of the function, else its first paragraph."""
    place = docstring_place(focus.function.path, focus.skim.text, FunctionId.MODULE)
    if place is None or not place.text or focus.function.qualname == FunctionId.MODULE:
        return
    about = focus.function.name in words(place.text)
    text = place.text[:_MODULE_DOCSTRING] if about else place.text.partition("\n\n")[0][:300]
    yield Piece('"""' + text.replace('"""', "'''") + ('\n"""' if "\n" in text else '"""'))


def _matters(focus: Focus, binding: Binding) -> bool:
    """Whether a constant is mentioned, named like the function, or used by nothing else in the module."""
    alone = all(counts(focus.skim.text)[name] <= 1 for name in binding.names)
    alike = any(focus.likeness(name) for name in binding.names)
    return alone or alike or bool(binding.names & focus.words)


def _quoted_binding(focus: Focus, binding: Binding) -> str:
    whole = len(binding.source) <= _WHOLE_VALUE and _matters(focus, binding)
    return binding.source if whole else binding.short


def siblings(
    focus: Focus, without: frozenset[str] = frozenset(), everything: bool = False
) -> tuple[Piece, ...]:
    """The functions and classes of the module that may have to do with the function, the likeliest first.

    `without` are qualified names of what is shown elsewhere. With `everything` they are all listed in brief.
    """
    file = focus.skim
    items: list[Function | Class] = [f for f in file.functions if "." not in f.id.qualname]
    items += [c for c in file.classes if "." not in c.qualname and c.qualname != focus.owner]
    items = [i for i in items if _name(i) not in {focus.function.qualname, *without}]
    items.sort(key=lambda i: i.span.start)
    here = file.function(focus.function.qualname)
    origin = here.span.start if here else len(file.text)
    nearest = [] if focus.owner else sorted(items, key=lambda i: abs(i.span.start - origin))[:4]
    scores = {_name(i): _kinship(focus, i) + 0.5 * (i in nearest) for i in items}
    cap = _ALL if everything else _SIBLINGS
    few = len(items) <= cap
    chosen = sorted((i for i in items if few or scores[_name(i)]), key=lambda i: -scores[_name(i)])[:cap]
    kin = [i for i in chosen if isinstance(i, Function) and scores[_name(i)] >= 2 and _is_short(i)]
    whole = () if everything else tuple(kin[:_WHOLE])
    return _methods_used(focus) + tuple(
        Piece(_listed(focus, file, i, i in whole), i.span.start, compact=i not in whole) for i in chosen
    )


def _methods_used(focus: Focus) -> tuple[Piece, ...]:
    """Methods that the function uses of `self` as it stands and that other classes of the module define."""
    used = attributes(focus.code) - {f.id.name for f in focus.skim.functions if f.owner == focus.owner}
    found = [f for f in focus.skim.functions if f.owner and f.id.name in used][:_METHODS]
    return tuple(
        Piece(
            indented(_listed(focus, focus.skim, f, _is_short(f))),
            f.span.start,
            class_line(focus.skim, f.owner or ""),
            compact=not _is_short(f),
        )
        for f in found
    )


def attributes(code: str) -> frozenset[str]:
    """The names of `self` that a method uses."""
    return frozenset(re.findall(r"\b(?:self|cls)\.(\w+)", code))


def _kinship(focus: Focus, item: Function | Class) -> float:
    """How likely it is that a sibling has to do with the function."""
    name = _name(item)
    code = focus.skim.text[item.span.start : item.span.end]
    calls = re.search(rf"\b{re.escape(focus.function.name)}\b", code) is not None
    calls = calls and not focus.function.name.startswith("__")
    mentioned = name in focus.called or (name in focus.words and isinstance(item, Class))
    unwritten = FunctionId(focus.skim.path, name) in focus.unwritten
    return 3 * mentioned + 2 * focus.likeness(name) + 1.5 * calls + 0.5 * unwritten


def _name(item: Function | Class) -> str:
    return item.qualname if isinstance(item, Class) else item.id.qualname


def _listed(focus: Focus, file: Skim, item: Function | Class, whole: bool = False, note: str = "") -> str:
    """A function or class in brief, or a function whole."""
    if isinstance(item, Class):
        return _class_in_a_line(file, item, note)
    if whole:
        return code_of(file.text, item)
    return brief(file.text, item, unwritten=item.id in focus.unwritten, note=note)


def _class_in_a_line(file: Skim, item: Class, note: str = "") -> str:
    place = docstring_place(file.path, file.text, item.qualname)
    line = re.split(r"\n|(?<=\w\.) (?=[A-Z])", place.text, maxsplit=1)[0] if place else ""
    comment = "; ".join(n for n in (note, line) if n)
    return f"{class_line(file, item.qualname)} ..." + (f"  # {comment}" if comment else "")


def types(focus: Focus, texts: Mapping[str, str], annotations: str) -> tuple[Piece, ...]:
    """The headers of workspace classes named in the signature, and of the bases of the function's class."""
    around = focus.skim.class_named(focus.owner)
    named = [*sorted(words(annotations)), *(around.bases if around else ())]
    pieces: list[Piece] = []
    for name in dict.fromkeys(n.partition("[")[0] for n in named):
        if name != focus.owner and (found := find_class(focus.skim, texts, name)):
            pieces.append(Piece(_class_in_brief(*found), len(pieces)))
    return tuple(pieces[:_TYPES])


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
    whole = whole and isinstance(item, Function) and _is_short(item)
    text = _listed(focus, file, item, whole, note)
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
            code = code_of(texts[caller.path], found)
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
    if not rows or len(code) <= _SHORT_FUNCTION:
        return code if rows else ""
    body = code[: definition.body.start].count("\n")
    near = {r + n for r in rows[:3] for n in range(-4, 3) if body <= r + n < len(lines)}
    head = brief(code, definition).replace(": ...", ":", 1)
    quoted, last = [head], body - 1
    for row in sorted(r for r in near if lines[r].strip()):
        quoted += ["    ..."] if row != last + 1 else []
        quoted.append(lines[row][:200])
        last = row
    return "\n".join(quoted + (["    ..."] if last < len(lines) - 1 else []))


def useful(
    focus: Focus,
    texts: Mapping[str, str],
    known: Sequence[FunctionId],
    shown: frozenset[FunctionId],
) -> tuple[Piece, ...]:
    """A few functions of other modules whose names share telling words with the function."""
    own = name_parts(focus.function.name)
    spoken = frozenset(w.lower() for w in focus.words)
    scored = []
    for each in known:
        hidden = each.name.startswith("_") or "<locals>" in each.qualname
        if each.path == focus.function.path or each in shown or hidden:
            continue
        parts = name_parts(each.name)
        score = 2 * len(parts & own) + len(parts & spoken) - 0.25 * len(parts)
        if parts & own and score >= 1.5:
            scored.append((-score, each))
    chosen = (each for _, each in sorted(scored)[:_USEFUL])
    found = ((f.name, skim(f.path, texts.get(f.path, "")), f.qualname) for f in chosen)
    return tuple(p for each in found if (p := _of_another(focus, each, texts, False)))


def _is_short(function: Function) -> bool:
    return function.span.end - function.span.start < _SHORT_FUNCTION


def _class_in_brief(file: Skim, qualname: str) -> str:
    """A class's header and fields, and its public methods in a line each."""
    methods = [f for f in file.functions if f.owner == qualname and not f.id.name.startswith("_")]
    listed = [indented(brief(file.text, f)) for f in methods[:12]]
    return "\n".join([class_header(file.text, qualname), *listed])


@lru_cache(maxsize=1 << 16)
def name_parts(name: str) -> frozenset[str]:
    """The words of an identifier."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return frozenset(spaced.split("_")) - _COMMON - {""}
