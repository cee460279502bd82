"""A file as one skims it for a view: the names it binds, its classes, its functions in a line each. Pure."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from soa_agents.swarm.views.bindings import Binding, bindings
from soa_agents.workspace.functions import (
    Function,
    dedented,
    definitions,
    functions,
    name_of,
    with_decorators,
)
from soa_agents.workspace.outline import signature
from soa_agents.workspace.syntax import Span, Syntax, parse

_LONG_LINE = 160  # characters of a docstring's first line that are shown


@dataclass(frozen=True, slots=True)
class Class:
    """A class by its qualified name, how it spells its bases, and its text as it stands."""

    qualname: str
    bases: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Skim:
    """What stands in one file, in file order. Compared by identity, which costs nothing."""

    path: str
    text: str
    bindings: tuple[Binding, ...]
    classes: tuple[Class, ...]
    functions: tuple[Function, ...]
    by_name: Mapping[str, Function]

    def function(self, qualname: str) -> Function | None:
        """The function of that qualified name."""
        return self.by_name.get(qualname)

    def class_named(self, qualname: str) -> Class | None:
        """The class of that qualified name."""
        return next((c for c in self.classes if c.qualname == qualname), None)

    def constant(self, name: str) -> Binding | None:
        """The assignment that binds `name`."""
        return next((b for b in self.bindings if name in b.names and not b.imports), None)


@lru_cache(maxsize=256)
def skim(path: str, text: str) -> Skim:
    """Skim a file, however broken it is."""
    syntax = parse(text)
    classes = tuple(
        Class(scope.prefix + name_of(syntax, node), _bases(syntax, node), syntax.span(with_decorators(node)))
        for node, scope in definitions(syntax)
        if node.type == "class_definition"
    )
    found = functions(path, text)
    return Skim(path, text, bindings(syntax), classes, found, {f.id.qualname: f for f in found})


@lru_cache(maxsize=64)
def counts(text: str) -> Counter[str]:
    """How often each identifier occurs in a text."""
    return Counter(re.findall(r"[^\W\d]\w*", text))


def code_in_short(text: str, function: Function) -> str:
    """The whole function, dedented, with the first sentence of its docstring for the whole of it."""
    code = dedented(text, function)
    place = functions("", code)[0].docstring
    if place is None:
        return code
    sentence = said(text, function).replace('"', "'").rstrip("\\")
    return f'{code[: place.start]}"""{sentence}"""{code[place.end :]}'


def said(text: str, function: Function) -> str:
    """The first sentence of the function's docstring, or nothing."""
    if function.docstring is None:
        return ""
    literal = text[function.docstring.start : function.docstring.end]
    inner = re.sub(r"^\w*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", literal.strip()).strip()
    paragraph = re.split(r"(?:\r?\n|\r)[ \t]*(?=[\r\n])", inner, maxsplit=1)[0]
    line = re.split(r"(?<=\w\.) (?=[A-Z*`])| :param |>>>", " ".join(paragraph.split()), maxsplit=1)[0].strip()
    return line if len(line) <= _LONG_LINE else f"{line[:_LONG_LINE].rstrip()}…"


def brief(text: str, function: Function, unwritten: bool = False, note: str = "") -> str:
    """A function's signature and, as a comment, a note on it and the first sentence of its docstring."""
    notes = ["not written yet" if unwritten else "", note, said(text, function)]
    comment = f"  # {'; '.join(n for n in notes if n)}" if any(notes) else ""
    return f"{signature(text, function)} ...{comment}"


@lru_cache(maxsize=1024)  # asked several times of each agent
def head(source: str) -> str:
    """A dedented function's signature and docstring with `...` for a body; a stub stays as it is."""
    found = functions("", source)
    if not found or found[0].is_stub:
        return source.strip("\n")
    end = (found[0].docstring or found[0].signature).end
    return f"{source[:end]}\n    ...".strip("\n")


def class_line(file: Skim, qualname: str) -> str:
    """The `class` statement's first line, without its decorators."""
    found = file.class_named(qualname)
    bases = f"({', '.join(found.bases)})" if found and found.bases else ""
    return f"class {qualname.rpartition('.')[2]}{bases}:"


def indented(text: str) -> str:
    """The text one level to the right."""
    return textwrap.indent(text, "    ")


def _bases(syntax: Syntax, node: Node) -> tuple[str, ...]:
    bases = node.child_by_field_name("superclasses")
    if bases is None:
        return ()
    return tuple(syntax.source(b) for b in bases.named_children if b.type != "keyword_argument")
