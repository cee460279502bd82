"""Where a function stands: its class, once and in the order of the file, or the function around it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from soa_agents.swarm.views.bindings import words
from soa_agents.swarm.views.material import Focus, Piece, attributes
from soa_agents.swarm.views.skim import brief, indented
from soa_agents.workspace.functions import Function, dedented
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import class_header, docstring_place, signature

_LONG = 2400  # characters of an outer function, or of a class that is quoted whole
_LONG_DOCSTRING = 4000
_LONG_METHOD = 1500  # characters of a method that is quoted whole
_FULL = 4000  # characters of methods quoted whole, together
_METHODS = 50
_BEGINNINGS = ("__init__", "__new__", "__post_init__")


def surroundings(focus: Focus) -> tuple[Piece, ...]:
    """The class around a method: header, docstring, fields, methods; or the function around a nested one.

    Methods that have to do with the function are whole, the others signatures; its own place is marked.
    """
    around, text = focus.owner, focus.skim.text
    if focus.skim.class_named(focus.function.qualname):
        return _class_itself(focus)
    if not around:
        return ()
    if outer := focus.skim.function(around):
        return (Piece(bounded(dedented(text, outer))),)
    header = _with_docstring(focus, class_header(text, around))
    if not header:
        return ()
    full = _full(focus)
    order = sorted(_methods(focus)[:_METHODS], key=lambda f: f.id not in full)
    return (Piece(header), *(_piece(focus, f, f.id in full) for f in order))


def _class_itself(focus: Focus) -> tuple[Piece, ...]:
    """What stands in a class, without its docstring."""
    name, text = focus.function.qualname, focus.skim.text
    lines = [line for line in class_header(text, name).split("\n") if not line.startswith('    """')]
    methods = [f for f in focus.skim.functions if f.owner == name][:_METHODS]
    listed = [Piece(indented(brief(text, f)), f.span.start, compact=True) for f in methods]
    return (Piece("\n".join(lines), compact=True), *(listed or [Piece("    ...", 1, compact=True)]))


def shown_whole(focus: Focus) -> frozenset[FunctionId]:
    """The methods that `surroundings` quotes whole."""
    return frozenset(_full(focus))


def has_docstring(focus: Focus) -> bool:
    """Whether the class around the function says anything."""
    place = docstring_place(focus.function.path, focus.skim.text, focus.owner)
    return place is not None and bool(place.text.strip())


def said_by_class(focus: Focus) -> str:
    """The paragraphs of the class's docstring that mention the method, with the examples that follow them."""
    place = docstring_place(focus.function.path, focus.skim.text, focus.owner)
    kept: list[str] = []
    about = False
    for paragraph in re.split(r"\n\s*\n", place.text) if place else ():
        example = paragraph.startswith((" ", "\t", ">>>"))
        about = focus.function.name in words(paragraph) or (about and example)
        kept += [paragraph.strip("\n")] if about else []
    return "\n\n".join(kept)


def related(focus: Focus) -> tuple[str, ...]:
    """Names that the function, or what sets up its class, calls: classes among them are worth a look."""
    begin = [f for f in _methods(focus) if f.id.name in _BEGINNINGS and f.id != focus.function]
    code = "\n".join([focus.code, *(dedented(focus.skim.text, f) for f in begin)])
    called = dict.fromkeys(re.findall(r"(?<![\w.])([^\W\d]\w*)\s*\(", code))
    return tuple(name for name in called if name != focus.owner)


def bounded(source: str, limit: int = _LONG) -> str:
    """The source, or as many of its lines as fit."""
    if len(source) <= limit:
        return source
    cut = source.rfind("\n", 0, limit)
    return f"{source[: cut if cut > 0 else limit]}\n    # … shortened here"


def _methods(focus: Focus) -> list[Function]:
    return [f for f in focus.skim.functions if f.owner == focus.owner]


def _piece(focus: Focus, function: Function, whole: bool) -> Piece:
    text = focus.skim.text
    if function.id == focus.function:
        own = f"{signature(text, function)} ...  # the function in question"
        return Piece(indented(own), function.span.start, compact=True)
    if whole:
        return Piece(indented(dedented(text, function)), function.span.start)
    unwritten = function.id in focus.unwritten
    return Piece(indented(brief(text, function, unwritten)), function.span.start, compact=True)


def _full(focus: Focus) -> list[FunctionId]:
    """The methods worth quoting whole, the likeliest first, as far as the room goes."""
    found, used = _methods(focus), attributes(focus.code)
    others = [f for f in found if f.id != focus.function and f.id not in focus.unwritten and not f.is_stub]
    scores = {f.id: _kinship(focus, f, used) for f in others}
    if sum(f.span.end - f.span.start for f in others) <= _LONG:
        scores = dict.fromkeys(scores, 1)
    wanted = sorted((f for f in others if scores[f.id]), key=lambda f: -scores[f.id])
    return list(_fitting(wanted))


def _fitting(wanted: Iterable[Function]) -> Iterable[FunctionId]:
    room = _FULL
    for function in wanted:
        size = function.span.end - function.span.start
        if size <= min(room, _LONG_METHOD):
            room -= size
            yield function.id


def _kinship(focus: Focus, function: Function, used: frozenset[str]) -> float:
    """How much a method has to do with the function; `used` are the names of `self` that this one uses."""
    code = dedented(focus.skim.text, function)
    name, mine = function.id.name, attributes(code)
    if name in _BEGINNINGS:
        return 100
    score = 3 * (focus.function.name in mine) + 3 * (name in used) + 2 * focus.likeness(name)
    return score + bool(mine & used) + (name in focus.called) + 0.5 * (function.id in focus.along)


def _with_docstring(focus: Focus, header: str) -> str:
    """A class's header with its whole docstring, which often says what its methods have to do."""
    place = docstring_place(focus.function.path, focus.skim.text, focus.owner)
    if place is None or '"""' in place.text or '    """' not in header:
        return header
    above, _, rest = header.partition('    """')
    below = rest.partition('"""\n')[2]
    text = bounded(place.text, _LONG_DOCSTRING)
    said = indented(f'"""{text}\n"""' if "\n" in text else f'"""{text}"""')
    return f"{above}{said}\n{below}".rstrip("\n")
