"""The facts of a file at a glance: from its logical lines, without a parser.

It says what `reading.parsed_facts` says, at less than half the cost, and None where it is in doubt: broken
brackets or strings, names outside ASCII, pattern matching, whatever is rare. Indentation tells definitions.
A `sketch` says less, at a third of that: enough to know which files are worth a glance.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, Uses, aliases
from soa_agents.workspace.functions import ABSTRACT, last_part
from soa_agents.workspace.lexical import InDoubt, arguments, code_of, colon, split
from soa_agents.workspace.naming import KEYWORDS, marked, uses_of
from soa_agents.workspace.snapshot import is_test_file

_ODD = re.compile(
    r"[\n;] *+(?:(?:match|case)\b[ \v(\[{][^\n]*:[ \v]*[\n;]|type[ \v]+\w+[^\n]*=|(?:print|exec)[ \v]+[\w>])"
    r"|\b(?:None|True|False)\.\w"
)
_QUOTED = re.compile(  # an annotation, of which the code has nothing left
    r"(?:[(,;]|^)[ \t\r\n]*(?:self\.)?\w+[ \t]*:[ \t]*(?:(?:typing\.)?Optional\[[ \t]*)?"
    r"(?:\"[^\W\d][^\"\n]*\"|'[^\W\d][^'\n]*')",
    re.MULTILINE,
)
_SOFT = ("match", "case", "type ", "print ", "exec ", "None.", "True.", "False.")
_IMPORT = re.compile(r"([\n;] *+)(from\b|import\b)([^\n;]*)")
_WORD_IMPORT = re.compile(r"\bimport\b")
_DEFINED = re.compile(r"\b(?:def|class) \w+")
_BETWEEN = str.maketrans({sign: " " for sign in map(chr, range(128)) if not (sign.isalnum() or sign == "_")})
_MAY_BE_STUB = re.compile(  # its first statement is one of a stub's, or there is none but its docstring
    r"\bdef\b[^\n]*:[ \v]*;"
    r"|\n *+(?:async[ \v]+)?def\b[^\n]*+[\s(]*+(?:\"\"[ \v\"()]*+[\s;]*+)?(?:\.\.\.|pass\b|raise[ \v]+Not)"
    r"|\n( *+)(?:async[ \v]+)?def\b[^\n]*+\n[\s(]*+\"\"[ \v\"();]*+(?:\n *+(?=\n|\Z))*+(?:\Z|\n(?!\1 ))"
)
_EVENT = re.compile(r"\n( *)(?:(@)|(?:async[ \v]+)?(def)[ \v]+(\w+)|class[ \v]+(\w+))")
_CHECKING = re.compile(r"\n( *)if[ \v]+(?:[\w.]*\.)?TYPE_CHECKING[ \v]*:")
_PLAIN_HEAD = re.compile(r"[ \v]*\(([^()\[\]{}=]*)\)[ \v]*:")
_BASE = re.compile(r"[^\W\d][\w.]*[ \v]*(?:\[.*\])?", re.DOTALL)
_DOCUMENTED = re.compile(r"[\s;(]*\"\"(?:[ \v]*\"\")*[ \v)]*(?=[\n;]|\Z)")
_TO_WRITE = re.compile(
    r"(?:[\s;]*+(?:\.\.\.|pass\b|raise[ \v]+NotImplementedError\b(?![ \v]*[.\[])"
    r"(?:[ \v]*\([^\n;]*|[ \v]+from\b[^\n;]*)?)[ \v]*(?=[\n;]|\Z))*+[\s;]*\Z"
)


@dataclass(slots=True)
class _Place:
    """A module, class or function while its lines are gathered."""

    kind: str  # `module`, `class` or `def`
    name: str = ""
    prefix: str = ""  # what the qualified names of definitions in it begin with
    indent: int = -1
    line: int = 0
    declares: bool = False
    owner: str | None = None  # the class that a function is directly in
    inner: bool = False  # a class inside a function: its code is the function's
    decorators: str = ""
    head: str = ""  # from behind the name to the colon
    code: list[str] = field(default_factory=list)  # of the body, without the definitions in it
    whole: bool = True  # nothing else is defined in it


class Sketch(NamedTuple):
    """What a file imports and the names it spells, as `facts.spelled_in` gives them, and some more."""

    path: str
    imports: tuple[Import, ...]
    spelled: str


def sketch(path: str, text: str) -> Sketch | None:
    """What is to be known of every file; None of one that may hold stubs, or that a parser should read."""
    code = code_of(text)
    if code is None or (not is_test_file(path) and _MAY_BE_STUB.search(code)):
        return None
    code, imports = _without_imports(code)
    words = set(_DEFINED.sub("", code).translate(_BETWEEN).split()) - KEYWORDS
    return Sketch(
        path, imports, " ".join(sorted({word for word in words if word[0] > "9"} | aliases(imports)))
    )


def glance(path: str, text: str) -> FileFacts | None:
    """The facts of a file; None when a parser should read it."""
    code = code_of(text)
    if code is None or (any(word in code for word in _SOFT) and _ODD.search(code)) or _QUOTED.search(text):
        return None
    code, imports = _without_imports(code)
    try:
        places = _places(marked(code), path.endswith(".pyi"))
        test = is_test_file(path)
        read = [(place, _uses(place)) for place in places if place.kind == "def"]
        module = uses_of("".join(places[0].code))
        return FileFacts(
            path,
            test,
            tuple(_functions(read, test)),
            tuple(_classes(places, read)),
            imports,
            tuple(sorted(module.used)),
            module.annotated(),
        )
    except InDoubt:
        return None


def _without_imports(code: str) -> tuple[str, tuple[Import, ...]]:
    """The code with a `0` for each import, and what these bind."""
    imports: dict[Import, None] = {}

    def imported(found: re.Match[str]) -> str:
        imports.update(dict.fromkeys(_imports(found[2], found[3])))
        return found[1] + "0" + "\v" * found[0].count("\v")

    return _IMPORT.sub(imported, code), tuple(imports)


def _places(code: str, declared: bool) -> list[_Place]:
    """The module, and the classes and functions in file order."""
    places = [_Place("module", declares=declared)]
    around = [places[0]]
    checking = _checking(code) if "TYPE_CHECKING" in code else []
    done = lines = counted = 0
    decorated: tuple[int, int] | None = None  # where the decorators before a definition begin; their indent

    def close(until: int, indent: int) -> None:
        """Hand the code up to `until` to whom it belongs, where the next line there has that indent."""
        nonlocal done
        while True:
            top = around[-1]
            end = _outside(top.indent).search(code, done, until) if top.indent >= 0 else None
            at = end.start() if end else until
            (top if not top.inner else _enclosing(around)).code.append(code[done:at])
            done = at
            if (end is None and indent > top.indent) or top.indent < 0:
                return
            around.pop()

    for found in _EVENT.finditer(code):
        start, indent = found.start(), len(found[1])
        if decorated is None:
            close(start, indent)
            lines += code.count("\n", counted, start) + code.count("\v", counted, start)
            counted = start
        elif decorated[1] != indent:
            raise InDoubt
        if found[2]:
            decorated = decorated or (start, indent)
            continue
        begin = decorated[0] if decorated else start
        decorated = None
        place = _place(found, around[-1], code[begin:start])
        place.line = lines + 1
        place.declares |= any(first <= start < last for first, last in checking)
        done = _head(code, found.end(), place)
        around[-1].whole = False
        around.append(place)
        places.append(place)
        if place.inner:
            _enclosing(around).code.append(place.decorators + place.head)
    if decorated:
        raise InDoubt
    close(len(code), 0)
    return places


def _enclosing(around: list[_Place]) -> _Place:
    return next(place for place in reversed(around) if not place.inner)


def _place(found: re.Match[str], outer: _Place, decorators: str) -> _Place:
    if found[3]:
        prefix = f"{outer.prefix}{found[4]}.<locals>."
        owner = outer.prefix[:-1] if outer.kind == "class" else None
        return _Place("def", found[4], prefix, len(found[1]), 0, outer.declares, owner, False, decorators)
    inner = "<locals>" in outer.prefix
    prefix = f"{outer.prefix}{found[5]}."
    return _Place("class", found[5], prefix, len(found[1]), 0, outer.declares, None, inner, decorators)


def _head(code: str, start: int, place: _Place) -> int:
    """Read a definition's head; where it ends, behind the colon."""
    plain = _PLAIN_HEAD.match(code, start)
    end = plain.end() if plain else colon(code, start)
    if not end:
        raise InDoubt
    place.head = code[start : end - 1]
    if place.kind == "class" and "Protocol" in place.head:
        bases = split(arguments(place.head)[0])
        place.declares |= any(last_part(base) == "Protocol" for base in bases)
    return end


@cache
def _outside(indent: int) -> re.Pattern[str]:
    """The beginning of a line that something with that indent does not hold."""
    return re.compile(rf"\n(?= {{0,{indent}}}[^\s])")


def _checking(code: str) -> list[tuple[int, int]]:
    """The blocks of declarations that only a type checker reads."""
    found = []
    for each in _CHECKING.finditer(code):
        end = _outside(len(each[1])).search(code, each.end())
        found.append((each.end(), end.start() if end else len(code)))
    return found


# -- what places say


def _uses(place: _Place) -> Uses:
    return uses_of(f"{place.decorators} {''.join(place.code)}", place.head)


def _functions(read: list[tuple[_Place, Uses]], test: bool) -> Iterator[FunctionFact]:
    seen: Counter[str] = Counter()
    for place, uses in read:
        decorators = _decorators(place.decorators)
        if "overload" in decorators:
            continue
        name = place.prefix[: -len(".<locals>.")]
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name}#{seen[name]}"
        stub = place.whole and not place.declares and decorators.isdisjoint(ABSTRACT) and _is_stub(place)
        yield FunctionFact(numbered, place.line, place.owner, stub, uses.free(test))


def _classes(places: list[_Place], read: list[tuple[_Place, Uses]]) -> Iterator[ClassFact]:
    own: defaultdict[str | None, dict[str, str]] = defaultdict(dict)
    for place, uses in read:
        own[place.owner].update(uses.annotated("self."))
    for place in places:
        if place.kind == "class":
            uses = uses_of("" if place.inner else f"{place.decorators}{place.head}{''.join(place.code)}")
            types = {**own.get(place.prefix[:-1], {}), **dict(uses.annotated())}
            used, bases = tuple(sorted(uses.used)), tuple(_bases(place.head))
            yield ClassFact(place.prefix[:-1], bases, used, tuple(sorted(types.items())))


def _decorators(lines: str) -> frozenset[str]:
    """The last parts of the decorators' names."""
    if not lines:
        return frozenset()
    return frozenset(last_part(line.lstrip(" @\v")) for line in lines.split("\n"))


def _is_stub(place: _Place) -> bool:
    body = place.code[0] if place.code else ""
    string = _DOCUMENTED.match(body)
    return _TO_WRITE.match(body, string.end() if string else 0) is not None


def _bases(head: str) -> Iterator[str]:
    if not head.strip():
        return
    for base in split(arguments(head)[0]):
        if _BASE.fullmatch(base):
            name = base.partition("[")[0].strip()
            if name not in KEYWORDS:
                yield name
        elif "(" in base and not base.endswith(")"):
            raise InDoubt


def _imports(kind: str, rest: str) -> Iterator[Import]:
    if kind == "import":
        for each in rest.split(","):
            name, _, alias = each.partition(" as ")
            yield Import("".join((alias or name).split()), "".join(name.split()))
        return
    module, *behind = _WORD_IMPORT.split(rest, 1)
    module, names = "".join(module.split()), behind[0] if behind else ""
    if module == "__future__":
        return
    for each in names.replace("(", " ").replace(")", " ").replace("\v", " ").split(","):
        name, _, alias = each.partition(" as ")
        if name := name.strip():
            yield Import("*", module) if name == "*" else Import(alias.strip() or name, module, name)
