"""Holds: a patch as it is sent gives the same text in whatever order a client applies its edits."""

from __future__ import annotations

from itertools import permutations

from lsp_client import edited
from soa_agents.patch import Edit, make_edit, make_patch
from soa_server.lsp.from_lsp import Client
from soa_server.lsp.lines import LineIndex
from soa_server.lsp.to_lsp import Target, workspace_edit

TEXT = "def total(): ...\n\n\nx = 1\n"
EDITS = [
    Edit("m.py", 0, 0, "import math\n\n\n", "import"),
    Edit("m.py", 0, 0, "def _a(): return 1\n\n\n", "helper", "_a"),
    Edit("m.py", 0, 0, "def _b(): return 2\n\n\n", "helper", "_b"),
    Edit("m.py", 0, 16, "def total(): return _a() + _b()", "target", "total"),
    Edit("m.py", 16, 16, "\n\n\ndef _c(): return 3", "helper", "_c"),
]


def test_no_two_edits_begin_at_one_place() -> None:
    patch = make_patch(make_edit(TEXT, edit) for edit in EDITS)
    files = {"m.py": Target("file:///w/m.py", LineIndex.of(TEXT, "utf-16"), 1)}
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
    after = patch.apply({"m.py": TEXT})["m.py"]
    assert all(edited(TEXT, order, "utf-16") == after for order in permutations(shaped))
    labels = [each.label for each in (sent.change_annotations or {}).values()]
    assert labels == ["_a, _b, total", "_c"]
