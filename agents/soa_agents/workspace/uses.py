"""The names that the functions and classes of one file use, each as it is written there. Pure.

A tree-sitter query finds them; walking the tree in Python would cost several times as much.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tree_sitter import Node, Query, QueryCursor

from soa_agents.workspace.facts import Uses
from soa_agents.workspace.functions import with_decorators
from soa_agents.workspace.syntax import Syntax, language

# Every identifier is a `name`. Some are a `part` behind a dot as well, or `bound` there (as a `parameter`),
# or only label something.
_PLACES = """
[(import_statement) (import_from_statement)] @import
(identifier) @name
(attribute attribute: (identifier) @part)
(parameters (identifier) @parameter)
(typed_parameter (identifier) @parameter)
(lambda_parameters (identifier) @bound)
(default_parameter name: (identifier) @bound)
(typed_default_parameter name: (identifier) @bound)
(list_splat_pattern (identifier) @bound)
(dictionary_splat_pattern (identifier) @bound)
(assignment left: (identifier) @bound)
(named_expression name: (identifier) @bound)
(for_statement left: (identifier) @bound)
(for_in_clause left: (identifier) @bound)
(pattern_list (identifier) @bound)
(tuple_pattern (identifier) @bound)
(list_pattern (identifier) @bound)
(as_pattern_target (identifier) @bound)
(typed_parameter type: (type) @type)
(typed_default_parameter type: (type) @type)
(assignment type: (type) @type)
(function_definition name: (identifier) @label)
(class_definition name: (identifier) @label)
(keyword_argument name: (identifier) @label)
(keyword_pattern . (identifier) @label)
(import_statement (dotted_name (identifier) @label))
(import_from_statement (dotted_name (identifier) @label))
(future_import_statement (dotted_name (identifier) @label))
(relative_import (dotted_name (identifier) @label))
(aliased_import (dotted_name (identifier) @label))
(aliased_import alias: (identifier) @label)
"""
_LETTER = r"[\w\x80-\xff]"  # the text is read as UTF-8 bytes, each as one character
_DOTTED = re.compile(rf"{_LETTER}+(?:\.{_LETTER}+)*")
MODULE = -1  # where the code outside functions and classes "starts"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one walk over a file finds.

    `uses` by the byte where a `def` or `class` starts, and by `MODULE`; `imports` are statements.
    """

    uses: Mapping[int, Uses]
    imports: Sequence[Node]


def read(syntax: Syntax, owners: Iterable[Node]) -> Reading:
    """Read a file. `owners` are the `def` and `class` nodes, in file order, whose names are told apart."""
    captures = QueryCursor(_places()).captures(syntax.root)
    starts = sorted(_starts(captures, "name") - _starts(captures, "label"))
    part, parameter, bound = (_starts(captures, kind) for kind in ("part", "parameter", "bound"))
    types = dict(_annotations(syntax, captures.get("type", ())))
    reader = _Reader(_bytewise(syntax), part, parameter, bound, types)
    found: defaultdict[int, Uses] = defaultdict(Uses)
    first, owner = 0, MODULE
    for turn, following in _turns(owners):
        after = bisect_left(starts, turn, first)
        reader.read(starts[first:after], found[owner])
        first, owner = after, following
        found[owner]  # without a name, too
    reader.read(starts[first:], found[owner])
    return Reading(found, sorted(captures.get("import", ()), key=lambda node: node.start_byte))


def _starts(captures: Mapping[str, Sequence[Node]], kind: str) -> frozenset[int]:
    return frozenset(node.start_byte for node in captures.get(kind, ()))


@cache
def _places() -> Query:
    return Query(language(), _PLACES)


def _bytewise(syntax: Syntax) -> str:
    """The text with one character for every byte that tree-sitter counts."""
    text = syntax.text
    return text.encode("utf-8", "replace").decode("latin-1") if syntax.continuations else text


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads names at offsets. `part`, `parameter`, `bound`: the offsets of such identifiers."""

    text: str
    part: frozenset[int]
    parameter: frozenset[int]
    bound: frozenset[int]
    types: Mapping[int, str]  # annotations, by the offset of what is annotated

    def read(self, starts: Iterable[int], into: Uses) -> None:
        """Put the names at `starts` (in order) where they belong."""
        text, part, parameter, bound, end = self.text, self.part, self.parameter, self.bound, 0
        for start in starts:
            if start < end:  # `b` of `a.b` was read with `a`
                continue
            found = _DOTTED.match(text, start)
            if found is None:  # an identifier that the parser put in where one is missing
                continue
            name, end = found.group(), found.end()
            if not name.isascii():
                name = name.encode("latin-1").decode("utf-8")
            if start in self.types:
                into.types[name] = self.types[start]
            if start in bound:
                into.bound.add(name)
            elif start in part:
                into.used.update(f".{each}" for each in name.split("."))
            elif start in parameter:
                into.parameters.add(name)
            else:
                into.used.add(name)


def _annotations(syntax: Syntax, types: Iterable[Node]) -> Iterator[tuple[int, str]]:
    for each in types:
        around = each.parent
        name = around and (around.child_by_field_name("name") or around.child_by_field_name("left"))
        name = name or (around and around.children[0])
        if name and (name.type == "identifier" or syntax.source(name).startswith("self.")):
            yield name.start_byte, syntax.source(each)


def _turns(owners: Iterable[Node]) -> Iterator[tuple[int, int]]:
    """Where the code of another owner begins, decorators included, and where its `def` or `class` starts."""
    around = [(sys.maxsize, MODULE)]
    for node in owners:
        start = with_decorators(node).start_byte
        while around[-1][0] <= start:
            yield around.pop()[0], around[-1][1]
        around.append((node.end_byte, node.start_byte))
        yield start, node.start_byte
    while len(around) > 1:
        yield around.pop()[0], around[-1][1]
