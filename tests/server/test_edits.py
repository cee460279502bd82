"""Holds: a patch as it is sent gives the same text in whatever order a client applies its edits."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from lsp_client import edited
from soa_agents.patch import Edit, make_edit, make_patch
from soa_server.lsp.from_lsp import Client
from soa_server.lsp.lines import LineIndex
from soa_server.lsp.to_lsp import Target, workspace_edit

TARGET = "def total(): ..."
BEFORE = "import os\n\n\n"
AFTER = "\n\n\nx = 1\n"


def helper(at: int, name: str) -> Edit:
    return Edit("m.py", at, at, f"def {name}(): return 1\n\n\n", "helper", name)


def edits(at: int, *helpers: str, imports: bool) -> list[Edit]:
    """A target at an offset, with helpers in front of it, one behind it and an import."""
    end = at + len(TARGET)
    needed = [Edit("m.py", 0, 0, "import math\n\n\n" if at == 0 else "import math\n", "import")]
    return [
        *(needed if imports else []),
        *(helper(at, name) for name in helpers),
        Edit("m.py", at, end, "def total(): return _a() + _b()", "target", "total"),
        Edit("m.py", end, end, "\n\n\ndef _c(): return 3", "helper", "_c"),
    ]


CASES = {
    "a helper in front": (BEFORE, edits(12, "_a", imports=True), ["imports", "_a", "total", "_c"]),
    "as many as there are breaks": (
        BEFORE,
        edits(12, "_a", "_b", "_d", "_e", imports=False),
        ["_a", "_b", "_d", "_e", "total", "_c"],
    ),
    "one more": (
        BEFORE,
        edits(12, "_a", "_b", "_d", "_e", "_f", imports=False),
        ["_a, _b", "_d", "_e", "_f", "total", "_c"],
    ),
    "at the file's beginning": ("", edits(0, "_a", "_b", imports=True), ["imports, _a, _b", "total", "_c"]),
    "right behind a line": ("x = 0\n", edits(6, "_a", "_b", imports=False), ["_a", "_b", "total", "_c"]),
    "another signature": (
        BEFORE,
        [helper(12, "_a"), Edit("m.py", 12, 28, "async def total(): ...", "target", "total")],
        ["_a", "total"],
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("case", CASES)
def test_each_function_is_an_edit_of_its_own_and_any_order_gives_the_same_text(
    case: str, newline: str
) -> None:
    before, lines, labels = CASES[case]
    text = (before + TARGET + AFTER).replace("\n", newline)
    more = len(newline) - 1
    wanted = [
        replace(
            each,
            start=each.start + more * before[: each.start].count("\n"),
            end=each.end + more * before[: each.end].count("\n"),
            new=each.new.replace("\n", newline),
        )
        for each in lines
    ]
    patch = make_patch(make_edit(text, edit) for edit in wanted)
    files = {"m.py": Target("file:///w/m.py", LineIndex.of(text, "utf-16"), 1)}
    client = Client(document_changes=True, annotations=True)
    sent = workspace_edit(patch, files, client, confirm=False)
    assert sent.document_changes is not None
    (change,) = sent.document_changes
    shaped = [
        {
            "range": {
                end: {"line": position.line, "character": position.character}
                for end, position in (("start", edit.range.start), ("end", edit.range.end))
            },
            "newText": edit.new_text,
        }
        for edit in change.edits  # type: ignore[union-attr]  # nothing is created
    ]
    after = patch.apply({"m.py": text})["m.py"]
    assert all(edited(text, order, "utf-16") == after for order in permutations(shaped))
    assert [each.label for each in (sent.change_annotations or {}).values()] == labels
