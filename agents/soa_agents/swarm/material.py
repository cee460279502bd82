"""What the workspace has to say about one function: pieces of text, the most telling first. Pure.

Every function here looks at a handful of files, whatever the size of the workspace, and returns pieces
bounded in number and length.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Protocol

from soa_agents.swarm.skim import Binding, Skim, brief, class_line, code_of, indented, skim, words
from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import class_header, docstring_place
from soa_agents.workspace.snapshot import is_test_file

_BINDINGS, _SIBLINGS, _CALLEES, _USEFUL, _TYPES = 60, 40, 12, 6, 6
_WHOLE = 4  # short functions that are quoted whole
_SHORT_FUNCTION = 900  # characters of such a one
_LONG_FUNCTION = 2400  # characters of a function that is quoted whole
_COMMON = frozenset(
    (
        "get",
        "set",
        "is",
        "has",
        "to",
        "from",
        "for",
        "of",
        "the",
        "and",
        "or",
        "in",
        "on",
        "by",
        "with",
        "new",
    )
)


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
    """

    text: str
    place: int = 0
    under: str = ""


@dataclass(frozen=True, slots=True)
class Focus:
    """The function in question, where it stands, and the words of what is known of it."""

    function: FunctionId
    skim: Skim
    words: frozenset[str] = field(default_factory=frozenset)
    unwritten: frozenset[FunctionId] = field(default_factory=frozenset)

    @property
    def owner(self) -> str:
        """The class or function it stands in, by qualified name."""
        return self.function.qualname.rpartition(".")[0].removesuffix(".<locals>")


def header(focus: Focus) -> tuple[Piece, ...]:
    """Imports, then the constants that are mentioned, then the other ones."""
    bindings = list(enumerate(focus.skim.bindings))

    def rank(numbered: tuple[int, Binding]) -> tuple[bool, bool]:
        binding = numbered[1]
        return (not binding.is_import, not (binding.names & focus.words))

    return tuple(Piece(b.source, place) for place, b in sorted(bindings, key=rank)[:_BINDINGS])


def siblings(focus: Focus, without: str = "") -> tuple[Piece, ...]:
    """The other functions of the module, in a line or two each: mentioned ones and nearest first.

    `without` names one that is shown elsewhere.
    """
    here = focus.skim.function(focus.function.qualname)
    origin = here.span.start if here else len(focus.skim.text)
    others = [
        f
        for f in focus.skim.functions
        if f.id != focus.function and f.id.qualname != without
        if "<locals>" not in f.id.qualname and f.id.name != "__init__"
    ]

    def beside(function: Function) -> bool:
        return (function.owner or "") == focus.owner

    def rank(function: Function) -> tuple[bool, bool, int]:
        return (function.id.name not in focus.words, not beside(function), abs(function.span.start - origin))

    chosen = sorted(others, key=rank)[:_SIBLINGS]
    own = _parts(focus.function.name)
    alike = sorted(
        (f for f in chosen if beside(f) and not f.is_stub and _is_short(f)),
        key=lambda f: (-len(_parts(f.id.name) & own), abs(f.span.start - origin)),
    )
    whole = {f.id for f in alike[:_WHOLE]}
    return tuple(_listed(focus, focus.skim, f, whole=f.id in whole) for f in chosen)


def owner(focus: Focus, own: str) -> tuple[Piece, ...]:
    """The class around a method (fields, `__init__`), or the function around a nested one.

    `own` is the function's own name, whose definition is not repeated.
    """
    around = focus.owner
    if not around:
        return ()
    text = focus.skim.text
    if outer := focus.skim.function(around):
        return (Piece(_bounded(code_of(text, outer))),)
    pieces = [Piece(_with_docstring(focus, class_header(text, around)))]
    for name in ("__init__", "__new__", "__post_init__"):
        found = focus.skim.function(f"{around}.{name}")
        if found and own != name:
            pieces.append(Piece(indented(_bounded(code_of(text, found))), 1))
    return tuple(p for p in pieces if p.text.strip())


def _with_docstring(focus: Focus, header: str) -> str:
    """A class's header with its whole docstring, which often says what its methods have to do."""
    place = docstring_place(focus.function.path, focus.skim.text, focus.owner)
    if place is None or '"""' in place.text or '    """' not in header:
        return header
    above, _, rest = header.partition('    """')
    below = rest.partition('"""\n')[2]
    said = indented(f'"""{_bounded(place.text)}\n"""' if "\n" in place.text else f'"""{place.text}"""')
    return f"{above}{said}\n{below}".rstrip("\n")


def types(focus: Focus, texts: Mapping[str, str], annotations: str) -> tuple[Piece, ...]:
    """The headers of workspace classes named in the signature, and of the bases of the function's class."""
    around = focus.skim.class_named(focus.owner)
    named = [*sorted(words(annotations)), *(around.bases if around else ())]
    pieces: list[Piece] = []
    for name in dict.fromkeys(n.partition("[")[0] for n in named):
        if name != focus.owner and (found := find_class(focus.skim, texts, name)):
            pieces.append(Piece(_class_in_brief(*found), len(pieces)))
    return tuple(pieces[:_TYPES])


def find_class(file: Skim, texts: Mapping[str, str], name: str, hops: int = 2) -> tuple[Skim, str] | None:
    """The file that defines the class a name means in `file`, and the class's qualified name there."""
    if file.class_named(name):
        return file, name
    binding = next((b for b in file.bindings if b.is_import and name in b.names), None)
    if binding is None or not hops:
        return None
    source = re.match(r"from\s+([.\w]+)\s+import\b(.*)", binding.source, re.DOTALL)
    if source is None:
        return None
    renamed = re.search(rf"(\w+)\s+as\s+{re.escape(name)}\b", source.group(2))
    path = find_module(file.path, source.group(1), texts)
    original = renamed.group(1) if renamed else name
    return find_class(skim(path, texts[path]), texts, original, hops - 1) if path else None


def find_module(path: str, module: str, texts: Mapping[str, str]) -> str | None:
    """The file that `module`, as spelled in an import of the file `path`, is in this workspace."""
    dots = len(module) - len(module.lstrip("."))
    tail = module[dots:].replace(".", "/")
    folder = posixpath.dirname(path)
    bases = [posixpath.normpath(posixpath.join(folder, *[".."] * (dots - 1)))] if dots else _above(folder)
    for base in bases:
        stem = posixpath.normpath(posixpath.join(base, tail))
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in texts:
                return candidate
    return None


def module_name(path: str, texts: Mapping[str, str]) -> str:
    """The name a file is imported by: its packages are the folders above it that have an `__init__.py`."""
    folder, _, file = path.rpartition("/")
    parts = [] if file == "__init__.py" else [file.removesuffix(".py")]
    while folder and f"{folder}/__init__.py" in texts:
        parts.insert(0, folder.rpartition("/")[2])
        folder = folder.rpartition("/")[0]
    return ".".join(parts)


def callees(focus: Focus, texts: Mapping[str, str], graph: Graph) -> tuple[Piece, ...]:
    """Functions of other files: those it calls as it stands, then those its module imports by name."""
    called = [f for f in graph.callees(focus.function) if f.path != focus.function.path]
    found = list(dict.fromkeys([*called, *_imported(focus, texts)]))
    telling = [f for f in found if f in called or f.name in focus.words]
    whole = len(found) if len(found) <= _WHOLE else min(len(telling), _WHOLE)
    return tuple(_elsewhere(focus, texts, found[:_CALLEES], whole))


def _imported(focus: Focus, texts: Mapping[str, str]) -> list[FunctionId]:
    """The workspace functions that the module imports by name, mentioned ones first."""
    found = []
    for binding in focus.skim.bindings:
        source = re.match(r"from\s+([.\w]+)\s+import\b", binding.source)
        path = find_module(focus.function.path, source.group(1), texts) if source else None
        file = skim(path, texts[path]) if path else None
        found += [f.id for n in sorted(binding.names) if file and (f := file.function(n))]
    return sorted(found, key=lambda f: f.name not in focus.words)


def callers(focus: Focus, texts: Mapping[str, str], graph: Graph) -> tuple[Piece, ...]:
    """Two callers: the signature, what it is for, and the lines with the call."""
    pieces: list[Piece] = []
    for caller in islice(sorted(graph.callers(focus.function)), 40):
        found = skim(caller.path, texts.get(caller.path, "")).function(caller.qualname)
        if found and len(pieces) < 2 and not is_test_file(caller.path):
            text = texts[caller.path]
            lines = _mentioning(code_of(text, found), focus.function.name)
            quoted = f"# in {caller}\n{brief(text, found)}\n" + "\n".join(lines)
            pieces.append(Piece(quoted, len(pieces)))
    return tuple(pieces)


def useful(
    focus: Focus,
    texts: Mapping[str, str],
    known: Sequence[FunctionId],
    name: str,
    shown: frozenset[FunctionId],
) -> tuple[Piece, ...]:
    """A few functions of other modules whose names share telling words with the function."""
    own = _parts(name)
    spoken = frozenset(w.lower() for w in focus.words)
    scored = []
    for each in known:
        hidden = each.name.startswith("_") or "<locals>" in each.qualname
        if each.path == focus.function.path or each in shown or hidden:
            continue
        parts = _parts(each.name)
        score = 2 * len(parts & own) + len(parts & spoken) - 0.25 * len(parts)
        if parts & own and score >= 1.5:
            scored.append((-score, each))
    return tuple(_elsewhere(focus, texts, [each for _, each in sorted(scored)[:_USEFUL]]))


def _elsewhere(
    focus: Focus, texts: Mapping[str, str], found: Iterable[FunctionId], whole: int = 0
) -> Iterator[Piece]:
    """Functions of other modules in brief; the first `whole` ones entirely where they are short."""
    for place, function in enumerate(found):
        file = skim(function.path, texts.get(function.path, ""))
        if definition := file.function(function.qualname):
            listed = _listed(focus, file, definition, whole=place < whole and _is_short(definition))
            under = "\n".join(filter(None, [f"# {module_name(function.path, texts)}", listed.under]))
            yield Piece(listed.text, place, under)


def _listed(focus: Focus, file: Skim, function: Function, whole: bool = False) -> Piece:
    """A function in brief, or whole as an example of how this module is written."""
    text = brief(file.text, function, unwritten=function.id in focus.unwritten)
    if whole:
        text = code_of(file.text, function)
    under = class_line(file, function.owner) if function.owner else ""
    return Piece(indented(text) if under else text, function.span.start, under)


def _is_short(function: Function) -> bool:
    return function.span.end - function.span.start < _SHORT_FUNCTION


def _class_in_brief(file: Skim, qualname: str) -> str:
    """A class's header and fields, and its public methods in a line each."""
    methods = [f for f in file.functions if f.owner == qualname and not f.id.name.startswith("_")]
    listed = [indented(brief(file.text, f)) for f in methods[:12]]
    return "\n".join([class_header(file.text, qualname), *listed])


def _mentioning(source: str, name: str) -> list[str]:
    lines = [line for line in source.split("\n")[1:] if re.search(rf"\b{re.escape(name)}\b", line)]
    return [line[:200] for line in lines[:3]]


def _bounded(source: str) -> str:
    if len(source) <= _LONG_FUNCTION:
        return source
    cut = source.rfind("\n", 0, _LONG_FUNCTION)
    return f"{source[:cut]}\n    # … shortened"


def _above(folder: str) -> list[str]:
    """The folder and every one above it, nearest first."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]


@lru_cache(maxsize=1 << 16)
def _parts(name: str) -> frozenset[str]:
    """The words of an identifier."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return frozenset(spaced.split("_")) - _COMMON - {""}
