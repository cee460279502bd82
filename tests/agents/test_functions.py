"""Functions of a file: names and spans as Python has them, stubs told apart, whatever else is broken."""

from __future__ import annotations

import ast
import io
import re
import sysconfig
import tokenize
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.workspace.functions import Function, dedented, functions, innermost
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.live import opened
from soa_agents.workspace.outline import (
    class_header,
    docstring_place,
    docstrings,
    documented_at,
    header,
    siblings,
    signature,
    summary,
)

STDLIB = Path(sysconfig.get_path("stdlib"))
Fact = tuple[str, int, int, tuple[int, int] | None, int, bool]


def by_ast(text: str) -> list[Fact]:
    """Name, span, docstring, first line and `async` of every function, from `ast`."""
    data = text.encode()
    starts = [0, *(m.end() for m in re.finditer(rb"\r\n|\n|\r", data))]
    found: list[Fact] = []

    def offset(line: int | None, column: int | None) -> int:
        return len(data[: starts[(line or 1) - 1] + (column or 0)].decode())

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first: ast.expr | ast.stmt = child.decorator_list[0] if child.decorator_list else child
                start = offset(first.lineno, first.col_offset)
                start = text.rindex("@", 0, start) if child.decorator_list else start
                said = child.body[0]
                doc = None
                if isinstance(said, ast.Expr) and ast.get_docstring(child, clean=False) is not None:
                    value = said.value
                    doc = (
                        offset(value.lineno, value.col_offset),
                        offset(value.end_lineno, value.end_col_offset),
                    )
                end = offset(child.end_lineno, child.end_col_offset)
                if not any("overload" in ast.unparse(each) for each in child.decorator_list):
                    name = prefix + child.name
                    found.append(
                        (name, start, end, doc, first.lineno, isinstance(child, ast.AsyncFunctionDef))
                    )
                visit(child, f"{prefix}{child.name}.<locals>.")
            else:
                visit(child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)

    visit(ast.parse(text), "")
    return sorted(found, key=lambda each: each[1])


def facts(found: tuple[Function, ...]) -> list[Fact]:
    return [
        (
            f.id.qualname.split("#")[0],
            *f.span,
            tuple(f.docstring) if f.docstring else None,
            f.line,
            f.is_async,
        )
        for f in found
    ]


def test_spans_are_those_of_ast_over_the_standard_library() -> None:
    seen = 0
    for path in islice(sorted(STDLIB.glob("*.py")), 0, None, 2):
        with path.open("rb") as file:
            data = file.read()
        text = data.decode(tokenize.detect_encoding(io.BytesIO(data).readline)[0])
        found = functions("a.py", text)
        assert facts(found) == by_ast(text), path.name
        seen += len(found)
    assert seen > 1000


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Nested classes and functions in all layouts, as text that Python accepts."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    step = draw(st.sampled_from(["    ", "\t", " "]))

    def block(indent: str, depth: int) -> list[str]:
        lines: list[str] = []
        for _ in range(draw(st.integers(1, 3 if depth else 1))):
            lines += item(indent, depth)
        return lines

    def item(indent: str, depth: int) -> list[str]:
        kind = draw(
            st.sampled_from(["def", "async def", "class", "if", "one", "text"] if depth else ["text"])
        )
        name = draw(st.sampled_from(["f", "g", "größe", "名", "_x"]))
        decorators = [f"{indent}@deco  # é"] * draw(st.integers(0, 2))
        if kind == "text":
            return [
                indent
                + draw(st.sampled_from(["x = 'é'; y = 1;", "pass", '"""ö\f"""', "...  # π", "'𝒳'.join([])"]))
            ]
        if kind == "one":
            return [*decorators, f"{indent}def {name}(): return 1  # end"]
        if kind == "if":
            return [
                f"{indent}if x:",
                *block(indent + step, depth - 1),
                f"{indent}else:",
                *block(indent + step, depth - 1),
            ]
        head = (
            f"{indent}{kind} {name}:"
            if kind == "class"
            else f"{indent}{kind} {name}(a: 'ß' = 1,{newline} *b):  # c"
        )
        middle = draw(st.sampled_from([[], [f"{indent}{step}'''dóc{newline}'''"], ["", f"{indent}# note"]]))
        after = draw(st.sampled_from([[], [""], ["\f"], [f"{indent}{step}# trailing"]]))
        return [*decorators, head, *middle, *block(indent + step, depth - 1), *after]

    lines = [
        "# -*- coding: utf-8 -*-",
        *(line for _ in range(draw(st.integers(1, 3))) for line in item("", 3)),
    ]
    return newline.join(lines) + draw(st.sampled_from(["", newline]))


@given(sources())
def test_spans_are_those_of_ast_over_generated_code(text: str) -> None:
    assert facts(functions("a.py", text)) == by_ast(text)


NAMES = [
    ("def f(): ...\nif x:\n    def f(): ...\nelse:\n    def f(): ...", ["f", "f#2", "f#3"]),
    ("class A:\n    @property\n    def p(self): 1\n    @p.setter\n    def p(self, v): 2", ["A.p", "A.p#2"]),
    ("def f():\n    def g():\n        class C:\n            def m(self): 1", None),
    ("class A:\n    def m(self): 1\nclass A:\n    def m(self): 2", ["A.m", "A.m#2"]),
    ("def f[T](x: T) -> T: return x\nclass A[T]:\n    async def g[**P](self): return 1", ["f", "A.g"]),
    ("h = lambda x: x\ndef f(): return lambda: 1", ["f"]),
    (
        "match x:\n    case 1:\n        def f(): 1\ntry:\n    def g(): 1\nexcept* E:\n    def h(): 1",
        ["f", "g", "h"],
    ),
    ("\ufeffdef f(): 1\rdef g(): 2\r", ["f", "g"]),
    ("def ﬁ(): 1", ["fi"]),
    ("", []),
    ("\0\udcff def", []),
]


@pytest.mark.parametrize(("text", "names"), NAMES)
def test_names_are_python_s_own(text: str, names: list[str] | None) -> None:
    expected = ["f", "f.<locals>.g", "f.<locals>.g.<locals>.C.m"] if names is None else names
    assert [f.id.qualname for f in functions("a.py", text)] == expected


@pytest.mark.parametrize("decorator", ["overload", "typing.overload", "t.overload"])
def test_overloads_belong_to_their_implementation(decorator: str) -> None:
    declared = "".join(f"@{decorator}\ndef f(x: {kind}) -> {kind}: ...\n" for kind in ("int", "str"))
    text = f"{declared}def f(x):\n    return x\n"
    (found,) = functions("a.py", text)
    assert [text[slice(*span)].splitlines()[1] for span in found.overloads] == [
        "def f(x: int) -> int: ...",
        "def f(x: str) -> str: ...",
    ]
    assert (found.id.qualname, found.is_stub, found.line) == ("f", False, 5)
    assert innermost((found,), text.index("int")) == found


STUBS = [
    ("...", True),
    ("pass", True),
    ("pass  # to do: write it", True),
    ("# to do\n    ...", True),
    ('"""Doc."""', True),
    ('"""Doc."""\n    # later\n    pass', True),
    ('("""Doc."""\n     "more")\n    ...', True),
    ("raise NotImplementedError", True),
    ("raise NotImplementedError()", True),
    ("raise NotImplementedError('not yet') from None", True),
    ('"""Doc."""; raise NotImplementedError', True),
    ("raise ValueError", False),
    ("return ...", False),
    ("return None", False),
    ("x = 1\n    raise NotImplementedError", False),
    ('f"""No docstring."""', False),
    ('b"bytes"', False),
    ("raise NotImplementedErrorish", False),
    ("x x", False),
]


@pytest.mark.parametrize(("body", "stub"), STUBS)
def test_stubs_are_told_from_bodies(body: str, stub: bool) -> None:
    (found,) = functions("a.py", f"def f(x):\n    {body}\n")
    assert found.is_stub is stub


@pytest.mark.parametrize(
    "text",
    [
        "class P(Protocol):\n    def f(self): ...",
        "class P(t.Protocol[T], A):\n    def f(self): ...",
        "class A:\n    @abstractmethod\n    def f(self): ...",
        "class A:\n    @property\n    @abc.abstractmethod\n    def f(self): ...",
        "if TYPE_CHECKING:\n    def f(): ...",
        "if typing.TYPE_CHECKING:\n    class A:\n        def f(): ...",
    ],
)
def test_declarations_are_no_stubs(text: str) -> None:
    assert [f.is_stub for f in functions("a.py", text)] == [False]
    assert [f.is_stub for f in functions("a.py", text.replace("TYPE_CHECKING", "x"))] == [
        "TYPE_CHECKING" in text
    ]


BROKEN = [
    "x y",
    "return (1, 2",
    "if x",
    "def",
    "foo(]",
    '"abc',
    "class",
    "@",
    "}",
    "else:",
    "print 'a' % x",
    "x = {",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_syntax_error_elsewhere_leaves_the_other_functions(line: str) -> None:
    text = "def one():\n    return 1\n\nclass A:\n    def a(self):\n        return 2\n\n    def b(self):\n"
    text += f"        {line}\n"
    found = functions("a.py", text + "\ndef last():\n    pass\n")
    assert [f.id.qualname for f in found][:2] == ["one", "A.a"]
    assert found[-1].id.qualname in ("last", "A.b")
    assert text[slice(*found[0].span)] == "def one():\n    return 1"


def test_the_innermost_function_holds_the_cursor() -> None:
    text = "@d\ndef f():\n    def g(): return 1\n    return g\n\nx = 1\n"
    found = functions("a.py", text)
    places = {"@d": "f", "def g": "f.<locals>.g", "return g": "f"}
    for mark, qualname in places.items():
        holder = innermost(found, text.index(mark))
        assert holder is not None
        assert holder.id.qualname == qualname
    assert innermost(found, text.index("x = 1")) is None


def test_the_parts_of_a_function_are_exact() -> None:
    text = 'class A:\r\n\t@d(1)\r\n\tasync def f(self, x="é") -> int:\r\n'
    text += '\t\t"""Döc."""\r\n\t\t# why\r\n\t\treturn x\r\n'
    (found,) = functions("a.py", text)
    parts = {"name": "f", "signature": 'async def f(self, x="é") -> int:', "body": "return x"}
    assert {key: text[slice(*getattr(found, key))] for key in parts} == parts
    assert found.docstring is not None
    assert text[slice(*found.docstring)] == '"""Döc."""'
    assert (found.indent, found.owner, found.decorators, found.line) == ("\t", "A", ("d(1)",), 2)


def test_dedenting_moves_code_and_docstrings_but_no_data() -> None:
    text = 'class A:\n    def f(self):\n        """One.\n\n        Two.\n        """\n'
    text += '        x = """\n        data\n    """\n        return x\n'
    (found,) = functions("a.py", text)
    assert dedented(text, found) == (
        'def f(self):\n    """One.\n\n    Two.\n    """\n    x = """\n        data\n    """\n    return x'
    )
    crlf = text.replace("\n", "\r\n")
    assert dedented(crlf, functions("a.py", crlf)[0]) == dedented(text, found)


def test_a_function_is_dedented_whatever_stands_around_it() -> None:
    inner = '\tdef f(self):\n\t\tx = """\n\tdata"""\n\t\treturn x\n'
    for around in ("class A:\n{}", "class A:\n\tx = (]\n{}", "class A:\n{}\tx x\n}}", "if x:\n\ty\n{}'"):
        text = around.format(inner)
        found = next(f for f in functions("a.py", text) if f.id.name == "f")
        assert dedented(text, found) == 'def f(self):\n\tx = """\n\tdata"""\n\treturn x'


@pytest.mark.parametrize("before", ["", "\ufeff", "\ufeff# ü\r", "\r\n\r\n"])
def test_lines_are_counted_as_python_counts_them(before: str) -> None:
    text = f"{before}x = '\x0c'\r@d\ndef f(): pass\r\ndef g(): pass\n"
    _, first, second = ast.parse(text.removeprefix("\ufeff")).body
    assert [f.line for f in functions("a.py", text)] == [
        first.lineno - 1,
        second.lineno,
    ]  # with its decorator


@given(sources())
def test_dedented_sources_parse(text: str) -> None:
    for found in functions("a.py", text):
        assert isinstance(ast.parse(dedented(text, found)).body[0], ast.FunctionDef | ast.AsyncFunctionDef)


OUTLINED = '''"""Module."""
import os
from typing import (
    Any,
)
LIMIT = 3
BIG = "''' + "x" * 4000 + '''"


class A(Base):
    """About A.

    More.
    """

    rate: int = 2

    def f(self, x: int) -> int:
        """First
        line.

        Rest.
        """
        return x

    def g(self): return 1  # tail


def top():
    """Top."""
'''  # fmt: skip


def test_an_outline_says_what_stands_around_a_function() -> None:
    f, g, top = functions("a.py", OUTLINED)
    assert header(OUTLINED) == "import os\nfrom typing import (\n    Any,\n)\nLIMIT = 3"
    assert summary(OUTLINED, f) == 'def f(self, x: int) -> int:\n    """First line."""\n    ...'
    assert signature(OUTLINED, top) == "def top():"
    assert siblings(OUTLINED, (f, g, top), g) == summary(OUTLINED, f)
    assert class_header(OUTLINED, "A") == 'class A(Base):\n    """About A."""\n    rate: int = 2'


def test_docstrings_say_where_their_functions_would_go() -> None:
    places = {place.id.qualname: place for place in docstrings("a.py", OUTLINED)}
    assert {name: place.kind for name, place in places.items()} == {
        "<module>": "module",
        "A": "class",
        "A.f": "function",
        "top": "function",
    }
    assert places["A"].text == "About A.\n\nMore."
    assert places["A"].indent == "    "
    assert OUTLINED[: places["A"].insert].endswith("# tail")
    assert places["<module>"].insert == len(OUTLINED)
    live = opened("a.py", OUTLINED)
    assert documented_at(live, OUTLINED.index("LIMIT")) is None
    for place in places.values():
        for at in (*place.span, place.span.start + 5):
            assert documented_at(live, at) == place.id
    again = opened("a.py", f"{OUTLINED}\nclass A:\n    'Other.'\n")
    assert documented_at(again, again.text.index("Other")) == FunctionId("a.py", "A#2")
    assert documented_at(opened("a.py", "class A: 'no room'"), 10) is None
    assert documented_at(opened("a.py", "x\n'no docstring'"), 10) is None
    assert docstring_place("a.py", OUTLINED, "top") == places["top"]
    assert docstrings("a.py", "class A: 'no room'") == ()
