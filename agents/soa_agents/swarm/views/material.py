"""What the module has to say about one of its functions: pieces of text, the most telling first. Pure.

Every function here looks at a handful of files, whatever the size of the workspace, and returns pieces
bounded in number and length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from soa_agents.swarm.views.bindings import Binding, words
from soa_agents.swarm.views.lookup import find_class
from soa_agents.swarm.views.skim import (
    Class,
    Skim,
    brief,
    class_line,
    code_in_short,
    counts,
    indented,
)
from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import class_header, docstring_place

_BINDINGS, _SIBLINGS, _METHODS, _TYPES = 60, 14, 6, 6
_ALL = 40  # functions of the module that are listed where everything in it matters
_WHOLE = 3  # short functions that are quoted whole
_SHORT_FUNCTION = 900  # characters of such a one
_WHOLE_VALUE = 1500  # characters of a constant that is quoted whole
_MODULE_DOCSTRING = 1200
_COMMON = words("get set is has to from for of the and or in on by with new")


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


@lru_cache(maxsize=512)
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
    used = _methods_used(focus)
    shown = {focus.function.qualname, *without, *(f.owner for f in used)}
    items = [i for i in items if _name(i) not in shown]
    here = file.function(focus.function.qualname)
    origin = here.span.start if here else len(file.text)
    items.sort(key=lambda i: abs(i.span.start - origin))
    nearest = [] if focus.owner else items[:4]
    scores = {_name(i): _kinship(focus, i) + 0.5 * (i in nearest) for i in items}
    cap = _ALL if everything else _SIBLINGS
    few = len(items) <= cap
    chosen = sorted((i for i in items if few or scores[_name(i)]), key=lambda i: -scores[_name(i)])[:cap]
    kin = [i for i in chosen if isinstance(i, Function) and scores[_name(i)] >= 2 and is_short(i)]
    whole = [] if everything else kin[:_WHOLE]
    if len(whole) < 2 and not everything:
        whole += [model for model in _model(focus, items) if model not in whole]
    return tuple(_in_its_class(focus, f) for f in used) + tuple(
        Piece(listed(focus, file, i, i in whole), i.span.start, compact=i not in whole)
        for i in dict.fromkeys([*whole, *chosen])
    )


def _model(focus: Focus, items: Iterable[Function | Class]) -> tuple[Function, ...]:
    """The finished short function whose signature is the most like this one's, to see how others are done."""
    here = focus.skim.function(focus.function.qualname)
    if here is None or focus.owner:
        return ()
    text, own = focus.skim.text, _signature_words(focus.skim.text, here)
    known = [f for f in items if isinstance(f, Function) and not f.is_stub and f.id not in focus.unwritten]
    found = [f for f in known if is_short(f) and text[f.body.start : f.body.end].count("\n") > 1]
    best = max(found, key=lambda f: len(own & _signature_words(text, f)), default=None)
    return (best,) if best else ()


def _signature_words(text: str, function: Function) -> frozenset[str]:
    return words(text[function.name.end : function.signature.end])


def _methods_used(focus: Focus) -> list[Function]:
    """Methods that the function uses of `self` as it stands and that other classes of the module define."""
    used = attributes(focus.code) - {f.id.name for f in focus.skim.functions if f.owner == focus.owner}
    return [f for f in focus.skim.functions if f.owner and f.id.name in used][:_METHODS]


def _in_its_class(focus: Focus, method: Function) -> Piece:
    whole = is_short(method)
    text = indented(listed(focus, focus.skim, method, whole))
    return Piece(text, method.span.start, class_line(focus.skim, method.owner or ""), compact=not whole)


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


def listed(focus: Focus, file: Skim, item: Function | Class, whole: bool = False, note: str = "") -> str:
    """A function or class in brief, or a written function whole but for the length of its docstring."""
    if isinstance(item, Class):
        return _class_in_a_line(file, item, note)
    unwritten = item.id in focus.unwritten
    if whole and not unwritten:
        return code_in_short(file.text, item)
    return brief(file.text, item, unwritten, note)


def _class_in_a_line(file: Skim, item: Class, note: str = "") -> str:
    place = docstring_place(file.path, file.text, item.qualname)
    line = re.split(r"\n|(?<=\w\.) (?=[A-Z])", place.text, maxsplit=1)[0] if place else ""
    comment = "; ".join(n for n in (note, line) if n)
    return f"{class_line(file, item.qualname)} ..." + (f"  # {comment}" if comment else "")


def types(focus: Focus, texts: Mapping[str, str], named: Iterable[str]) -> tuple[Piece, ...]:
    """The headers of the workspace's classes among the names, and of the bases of the function's class."""
    around = focus.skim.class_named(focus.owner)
    named = [*named, *(around.bases if around else ())]
    pieces: list[Piece] = []
    for name in dict.fromkeys(n.partition("[")[0] for n in named):
        if name != focus.owner and (found := find_class(focus.skim, texts, name)):
            pieces.append(Piece(_class_in_brief(*found), len(pieces)))
    return tuple(pieces[:_TYPES])


def is_short(function: Function) -> bool:
    """Whether it may be quoted whole; its docstring does not count."""
    said = function.docstring.end - function.docstring.start if function.docstring else 0
    return function.span.end - function.span.start - said < _SHORT_FUNCTION


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
