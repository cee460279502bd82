"""Functions while a text is typed: as read anew whenever the text is whole, and none lost while it is not."""

from __future__ import annotations

import ast
import random
import sysconfig
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from soa_agents.workspace.functions import functions, innermost
from soa_agents.workspace.glimpse import glimpse
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.live import followed, opened
from soa_agents.workspace.outline import documented_at
from soa_agents.workspace.syntax import parse

STDLIB = Path(sysconfig.get_path("stdlib"))
SHOP = '''"""A shop — with é."""
from typing import overload, TYPE_CHECKING


@overload
def price(x: int) -> int: ...
@overload
def price(x: str) -> str: ...
def price(x):
    """One price."""
    return x


class Cart:
    """What is bought."""

    @property
    def size(self):
        return 1

    @size.setter
    def size(self, value):
        def inner(): ...

        return inner

    async def pay(self): pass


if TYPE_CHECKING:
    def declared(): ...


def last():
    raise NotImplementedError
'''
PIECES = st.sampled_from(
    (
        "x",
        " ",
        "\n",
        ";",
        "\nx = 1; y = 2",
        "    ",
        "é😀",
        "\r",
        '"""',
        "'",
        "(",
        ")",
        ":",
        "#",
        "\\\n",
        "@d\n",
        "def f():\n",
    )
) | st.sampled_from(
    ("pass", "class A:\n", "if x", "    def g(self): ...\n", "@overload\ndef price(x): ...\n", "\ufeff")
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES | st.just("")), min_size=1, max_size=8)
BREAKS = {
    "bracket": "    x = f(",
    "square bracket": "    x = [",
    "brace": "    x = {",
    "string": "    x = 'abc",
    "docstring": '    """abc',
    "other docstring": "    x = '''",
    "half if": "    if x",
    "half def": "def half(",
    "half class": "class Half",
    "dedent": "x = 1",
    "closed twice": "    )",
    "half import": "from x import (",
    "half lambda": "    x = lambda",
    "half f-string": "    x = f'{",
}


def is_whole(text: str) -> bool:
    """For Python and for the parser read anew, which does not know all of it."""
    try:
        ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError):
        return False
    return not parse(text).root.has_error


@settings(max_examples=60, deadline=None)
@given(EDITS)
@example([(0.0, 0, "\ufeff"), (0.5, 3, "\r")])
@example([(0.703125, 8, "x"), (0.703125, 7, " ")])  # a name that the function no longer holds
@example(
    [(0.0, 0, "pass"), (0.0, 0, "pass"), (0.4765625, 2, "\ufeff"), (0.484375, 0, "pass")]
)  # its indentation
def test_edits_leave_what_is_read_anew(edits: list[tuple[float, int, str]]) -> None:
    text, live = SHOP, opened("a.py", SHOP)
    assert live.functions == functions("a.py", SHOP)
    for place, gone, new in edits:
        at = int(place * len(text))
        text = text[:at] + new + text[at + gone :]
        live = followed(live, text)
        if is_whole(text):
            assert live.functions == functions("a.py", text)
        starts = [function.span.start for function in live.functions]
        assert starts == sorted(starts)
        for function in live.functions:
            assert 0 <= function.span.start <= function.name.start <= function.span.end <= len(text)
    back = followed(live, SHOP)
    assert back.functions == functions("a.py", SHOP)


def sample(count: int) -> list[Path]:
    """Files of the standard library with some functions, always the same ones."""
    known = sorted(path for path in STDLIB.glob("*.py") if 8_000 < path.stat().st_size < 60_000)
    return random.Random(5).sample(known, count)


@pytest.mark.parametrize("path", sample(8), ids=lambda path: path.name)
def test_no_break_loses_a_function_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    whole = opened("a.py", text)
    target = whole.functions[len(whole.functions) // 2]
    elsewhere = {
        f.id: text[f.span.start : f.span.end]
        for f in whole.functions
        if not f.span.start <= target.span.start <= f.span.end
    }
    at = text.index("\n", target.signature.end) + 1
    for broken in BREAKS.values():
        typed = text[:at] + broken + "\n" + text[at:]
        live = followed(whole, typed)
        found = {f.id: typed[f.span.start : f.span.end] for f in live.functions}
        assert {name: found.get(name) for name in elsewhere} == elsewhere, broken
        assert followed(live, text).functions == whole.functions


BETWEEN = {
    "above the first method": ('"""What is bought."""\n', "    rate = f(["),
    "in a class's docstring": ("What is bought.", "\n\n    And (paid for"),
    "in its name's line": ("class Cart", "(Base"),
    "among imports": ("TYPE_CHECKING\n", "import re, ("),
    "in a module's docstring": ("with é.", "\n\nIt's more"),
    "between a class and a condition": ("async def pay(self): pass\n\n", "x = {"),
}


@pytest.mark.parametrize(("before", "typed"), BETWEEN.values(), ids=BETWEEN)
def test_what_is_typed_between_functions_costs_no_look_at_the_rest(before: str, typed: str) -> None:
    whole = live = opened("a.py", SHOP)
    at = SHOP.index(before) + len(before)
    for key in range(1, len(typed) + 1):
        text = SHOP[:at] + typed[:key] + SHOP[at:]
        live = followed(live, text)
        assert live.syntax is whole.syntax, typed[:key]
        assert [f.id for f in live.functions] == [f.id for f in whole.functions]
        if is_whole(text):
            assert live.functions == functions("a.py", text)
    assert followed(live, SHOP).functions == whole.functions


def test_a_function_typed_between_others_is_found() -> None:
    live = opened("a.py", SHOP)
    typed = "    def between(self):\n        return 1\n"
    at = SHOP.index("    @property")
    for key in range(1, len(typed) + 1):
        text = SHOP[:at] + typed[:key] + SHOP[at:]
        live = followed(live, text)
    assert live.functions == functions("a.py", text)


def test_a_docstring_is_seen_while_it_is_typed() -> None:
    live = opened("a.py", SHOP)
    at = SHOP.index("What is bought.")
    live = followed(live, SHOP[:at] + "See " + SHOP[at:])
    assert documented_at(live, at + 2) == FunctionId("a.py", "Cart")
    live = followed(live, live.text.replace("A shop", "A new shop"))
    assert documented_at(live, live.text.index("new")) == FunctionId("a.py", "<module>")
    assert documented_at(live, live.text.index("return 1")) is None


@pytest.mark.parametrize("path", sample(4), ids=lambda path: path.name)
def test_the_function_at_a_place_is_the_innermost_of_all(path: Path) -> None:
    text = "@overload\ndef a(): ...\ndef a(): b\n" + path.read_text("utf-8") + "\ndef a(): c\n"
    live = followed(opened("a.py", text), f"x = 1\n{text}")
    for offset in range(0, len(live.text), 37):
        assert live.function_at(offset) == innermost(live.functions, offset)
    assert live.has_stubs == any(function.is_stub for function in live.functions)


def test_a_text_that_is_opened_broken_is_searched_by_its_lines() -> None:
    text = SHOP.replace("def price(x):\n", "def price(x:\n")
    names = [f.id.qualname for f in opened("a.py", text).functions]
    assert {"Cart.size", "Cart.size#2", "Cart.size.<locals>.inner", "Cart.pay", "last"} <= {*names}


@pytest.mark.parametrize("broken", ["half def", "half class", "dedent", "half import", "closed twice"])
def test_what_only_a_class_can_have_indented_stays_in_it(broken: str) -> None:
    """Opened with a broken line at the margin, in the middle of a class."""
    text = SHOP.replace("        return 1\n", f"{BREAKS[broken]}\n        return 1\n", 1)
    assert text != SHOP
    names = {f.id.qualname for f in opened("a.py", text).functions}
    assert {f.id.qualname for f in opened("a.py", SHOP).functions} - names <= {"Cart.size"}


def test_the_function_that_is_typed_is_mended_from_the_tree() -> None:
    live = opened("a.py", SHOP)
    text = SHOP.replace("return 1", "return (1")
    live = followed(live, text)
    text = text.replace("raise NotImplementedError", "return 2")
    live = followed(live, text)
    assert live.broken
    stubs = {f.id.qualname for f in live.functions if f.is_stub}
    assert "last" not in stubs and "Cart.pay" in stubs
    text = text.replace("def last", "def final")
    assert "final" in {f.id.qualname for f in followed(live, text).functions}


def test_a_change_at_two_places_at_once_loses_nothing_between() -> None:
    live = opened("a.py", SHOP)
    text = SHOP.replace("from typing", 'x = ("""\nfrom typing').replace(
        "raise NotImplementedError", "return 1"
    )
    assert {f.id for f in followed(live, text).functions} == {f.id for f in live.functions}


@pytest.mark.parametrize("path", sample(4), ids=lambda path: path.name)
def test_a_glimpse_sees_what_stands_around_a_place(path: Path) -> None:
    text = path.read_text("utf-8")
    whole = opened("a.py", text).functions
    seen = [(function, glimpse("a.py", text, function.name.start)) for function in whole]
    for function, live in seen:
        assert live is None or (function in live.functions and {*live.functions} <= {*whole})
    assert sum(live is not None for _, live in seen) > 0.8 * len(whole)
    assert glimpse("a.py", text, 0) is None


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@example("\ufeffä = 'ö'\r\n")
def test_characters_and_bytes_are_counted_alike_both_ways(text: str) -> None:
    syntax = parse(text)
    for at in range(len(text) + 1):
        assert syntax.byte(at) == len(text[:at].encode("utf-8", "replace"))
        assert syntax.offset(syntax.byte(at)) == at
