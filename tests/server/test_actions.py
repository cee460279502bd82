"""Holds: which code actions are offered where, by kind, title and command; and what a command accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_bench import SHOP
from soa_agents.errors import UsageError
from soa_server.lsp.actions import KINDS, Cursor, OurDiagnostic, available, disabled
from soa_server.lsp.documents import LONG, Documents, canonical, path_of
from soa_server.lsp.from_lsp import Argument, argument_of

URI = "file:///w/shop.py"

GENERATE = ("refactor.rewrite.soa.generate", "Generate with SoA", "soa.generate")
REGENERATE = ("refactor.rewrite.soa.regenerate", "Regenerate with SoA", "soa.regenerate")
STUBS = ("refactor.rewrite.soa.stubs", "Generate stubs from docstring with SoA", "soa.stubs")
FILE = ("refactor.rewrite.soa.file", "Implement all stubs in this file with SoA", "soa.implementFile")
RUN = ("refactor.rewrite.soa.runTests", "Run this function's tests with SoA", "soa.runTests")
CANCEL = ("refactor.rewrite.soa.cancel", "Cancel SoA", "soa.cancel")
FIX = ("quickfix.soa.regenerate", "Regenerate with SoA (2 failing tests)", "soa.regenerate")


def cursor(at: str, uri: str = URI, text: str = SHOP, **more: Any) -> Cursor:
    documents = Documents()
    documents.set_folders([Path("/w")])
    documents.open(uri, text, 3, "python")
    document = documents.get(uri)
    assert document is not None
    return Cursor(documents.outline(document), text.index(at), **more)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("import math", [FILE]),
        ("def total", [GENERATE, FILE, RUN]),
        ("raise NotImpl", [GENERATE, FILE, RUN]),
        ("The sum of all", [GENERATE, STUBS, FILE, RUN]),
        ("A shop's sums", [STUBS, FILE]),
        ("A cart with", [STUBS, FILE]),
        ("@property", [REGENERATE, FILE, RUN]),
        ("return math.floor", [REGENERATE, FILE, RUN]),
        ("return inner", [REGENERATE, FILE, RUN]),
        ("    @property", [REGENERATE, FILE, RUN]),
        ("\n    @property", [FILE]),
        ("pass\n", [GENERATE, FILE, RUN]),
    ],
)
def test_actions_by_place(at: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(a.kind, a.title, a.command) for a in available(cursor(at))] == expected


@pytest.mark.parametrize(
    ("at", "kind", "argument"),
    [
        ("def total", GENERATE[0], {"uri": URI, "qualname": "total", "version": 3}),
        ("return math.floor", REGENERATE[0], {"uri": URI, "qualname": "Cart.size", "version": 3}),
        ("pass\n", GENERATE[0], {"uri": URI, "qualname": "Cart.outer.<locals>.inner", "version": 3}),
        ("A shop's sums", STUBS[0], {"uri": URI, "qualname": "<module>", "version": 3}),
        ("A cart with", STUBS[0], {"uri": URI, "qualname": "Cart", "version": 3}),
        ("def total", FILE[0], {"uri": URI, "version": 3}),
        ("def total", RUN[0], {"uri": URI, "qualname": "total"}),
    ],
)
def test_arguments(at: str, kind: str, argument: dict[str, Any]) -> None:
    (action,) = available(cursor(at), [kind])
    assert action.argument == argument


@pytest.mark.parametrize(
    ("only", "count"),
    [
        (None, 3),
        ([], 0),
        ([""], 3),
        (["refactor"], 3),
        (["refactor.rewrite.soa"], 3),
        (["refactor.rewrite.soa.gen"], 0),
        (["quickfix"], 0),
        (["source"], 0),
        (["refactor.extract", "refactor.rewrite.soa.runTests"], 1),
    ],
)
def test_only_filters_by_prefix(only: list[str] | None, count: int) -> None:
    assert len(available(cursor("def total"), only)) == count


def test_a_quick_fix_comes_only_with_our_diagnostics() -> None:
    ours = OurDiagnostic(SHOP.index("size"), ("t.py::a", "t.py::b"))
    found = available(cursor("size", diagnostics=(ours,)), ["quickfix"])
    assert [(a.kind, a.title, a.command, a.argument["qualname"], a.fixes) for a in found] == [
        (*FIX, "Cart.size", (0,))
    ]
    assert available(cursor("size"), ["quickfix"]) == ()


def test_cancel_is_offered_where_a_job_runs() -> None:
    found = available(cursor("import math", jobs=("a", "b")), [CANCEL[0]])
    assert [(a.kind, a.title, a.command, a.argument) for a in found] == [(*CANCEL, {"jobId": "b"})]


def test_tests_are_run_and_never_written() -> None:
    text = 'def test_x():\n    """Says."""\n    ...\n'
    found = available(
        cursor(
            "def test_x",
            uri="file:///w/tests/test_x.py",
            text=text,
            diagnostics=(OurDiagnostic(4, ("tests/test_x.py::test_x",)),),
        )
    )
    assert [a.kind for a in found] == [RUN[0]]


EXACT = "refactor.rewrite.soa."


@pytest.mark.parametrize(
    ("at", "only", "expected"),
    [
        ("return math.floor", [EXACT + "generate"], {"generate": "size has a body already"}),
        ("def total", [EXACT + "regenerate"], {"regenerate": "total is a stub"}),
        ("def total", [EXACT + "generate"], {}),
        ("import math", [EXACT + "runTests"], {"runTests": "The cursor stands in no function"}),
        ("import math", [EXACT + "stubs"], {"stubs": "The cursor stands in no docstring"}),
        ("def total", ["quickfix.soa"], {"regenerate": "SoA knows of no failing test here"}),
        ("def total", [EXACT + "cancel"], {"cancel": "No job of SoA runs"}),
        (
            "def total",
            [EXACT[:-1]],
            {"regenerate": "total is a stub", "stubs": "The cursor stands in no docs", "cancel": "No job"},
        ),
        ("def total", ["refactor"], {}),  # there is something else of ours
        ("def total", ["quickfix"], {}),
        ("def total", ["source"], {}),
        ("def total", [], {}),
    ],
)
def test_why_there_is_no_such_action(at: str, only: list[str], expected: dict[str, str]) -> None:
    found = {each.kind.rpartition(".")[2]: each.reason for each in disabled(cursor(at), only)}
    assert found.keys() == expected.keys()
    for kind, reason in expected.items():
        assert found[kind].startswith(reason)
        assert found[kind].endswith(".")


def test_where_nothing_can_be_had_a_wider_question_has_one_answer() -> None:
    plain = "import math\n"
    assert [each.kind for each in disabled(cursor("math", text=plain), ["refactor"])] == [GENERATE[0]]
    assert disabled(cursor("math", text=plain), ["quickfix"]) == ()


def test_no_action_is_a_source_action() -> None:
    assert len(KINDS) == 7
    assert all(kind.startswith(("refactor.rewrite.soa.", "quickfix.soa.")) for kind in KINDS)


@pytest.mark.parametrize(
    ("spelled", "uri", "path"),
    [
        ("file:///w/a b.py", "file:///w/a%20b.py", Path("/w/a b.py")),
        ("file:///w/a%20b.py", "file:///w/a%20b.py", Path("/w/a b.py")),
        ("file://localhost/w/x.py", "file:///w/x.py", Path("/w/x.py")),
        ("FILE:///w/%C3%A9.py", "file:///w/%C3%A9.py", Path("/w/é.py")),
        ("file:///C:/x.py", "file:///c%3A/x.py", Path("/C:/x.py")),
        ("file:///c%3A/x.py", "file:///c%3A/x.py", Path("/c:/x.py")),
        ("untitled:Untitled-1", "untitled:Untitled-1", None),
        ("vscode-notebook-cell:/w/n.ipynb#W0", "vscode-notebook-cell:/w/n.ipynb#W0", None),
    ],
)
def test_one_spelling_for_every_uri(spelled: str, uri: str, path: Path | None) -> None:
    assert canonical(spelled) == uri
    assert path_of(spelled) == path


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [{}, {}],
        ["file:///x.py"],
        [None],
        [{"uri": URI, "qualname": "f"}],  # version must be said, even as null
        [{"uri": URI, "qualname": "f", "version": "1"}],
        [{"uri": URI, "qualname": "f", "version": True}],
        [{"uri": 3, "qualname": "f", "version": 1}],
        [{"uri": URI, "qualname": "", "version": 1}],
        [{"uri": None, "qualname": "f", "version": 1}],
        [{"uri": URI, "qualname": "f", "version": 1, "colour": "red"}],
    ],
)
def test_a_malformed_argument_is_told_in_one_sentence(arguments: list[Any]) -> None:
    with pytest.raises(
        UsageError, match=r"^soa\.generate takes one object \{uri, qualname, version, protocol\?\}"
    ) as e:
        argument_of("soa.generate", arguments, ("uri", "qualname", "version"), ("protocol",))
    assert "\n" not in str(e.value)


def test_a_version_may_be_null() -> None:
    given = {"uri": URI, "qualname": "f", "version": None}
    assert argument_of("c", [given], ("uri", "qualname", "version")) == Argument(URI, "f", None)


def test_a_long_text_is_answered_before_all_of_it_is_read() -> None:
    text = "def first():\n    return 1\n\n\n" + "x = 1\n" * (LONG // 6) + "def last(): ...\n"
    documents = Documents()
    documents.open(URI, text, 1, "python")
    document = documents.get(URI)
    assert document is not None
    assert [f.id.qualname for f in documents.glimpse(document, 1).functions] == ["first"]
    assert not documents.is_read(document)
    assert [f.id.qualname for f in documents.glimpse(document, 5).functions] == ["first", "last"]
    assert documents.is_read(document), "outside functions the whole text is needed"
