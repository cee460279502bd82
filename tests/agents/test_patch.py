"""Patches: nothing outside the edits changes, undo is exact, git takes diffs, moved text is found again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from soa_agents.errors import TargetChanged
from soa_agents.patch import Edit, Patch, make_edit, make_patch
from soa_agents.workspace.functions import functions, spans

TEXT = st.text(st.sampled_from("ab é𝒳\n\r\t\f\ufeff\x1c"), max_size=60)
PLAIN = st.text(st.sampled_from("ab é𝒳\n\t\f\x1c"), max_size=40)


@st.composite
def edited(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXT) -> tuple[dict[str, str], Patch]:
    """Two files with edits in them, and a new one."""
    files = {"a.py": draw(texts), "b/c d.py": draw(texts)}
    edits = []
    for path, text in files.items():
        marks = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
        for start, end in zip(marks[::2], marks[1::2], strict=False):
            edits.append(make_edit(text, Edit(path, start, end, draw(texts), "target", "f")))
    new = draw(st.sampled_from(["", "x = 1\n", "no end"]))
    created = ["new.py"] if new else []
    edits += [Edit("new.py", 0, 0, new, "tests")] if new else []
    return files, make_patch(edits, created)


@given(edited())
def test_undo_gives_back_every_character(case: tuple[dict[str, str], Patch]) -> None:
    texts, patch = case
    after = patch.apply(texts)
    back = patch.inverse(texts)
    assert back.deleted == patch.created
    undone = back.apply(after)
    assert {path: text for path, text in undone.items() if path not in back.deleted} == {
        path: texts[path] for path in patch.paths if path in texts
    }
    assert all(undone[path] == "" for path in back.deleted)
    assert back.inverse(after).apply(undone) == after


@given(edited())
def test_text_outside_the_edits_stays(case: tuple[dict[str, str], Patch]) -> None:
    texts, patch = case
    for path, after in patch.apply(texts).items():
        edits = [e for e in patch.edits if e.path == path]
        if path in texts and edits:
            assert after.startswith(texts[path][: edits[0].start])
            assert after.endswith(texts[path][edits[-1].end :])
            assert len(after) - len(texts[path]) == sum(len(e.new) - e.end + e.start for e in edits)


@given(edited(PLAIN))
def test_git_applies_the_unified_diff(case: tuple[dict[str, str], Patch]) -> None:
    texts, patch = case
    diff = patch.unified(texts)
    after = patch.apply(texts)
    assume(diff)
    with temporary(texts) as folder:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"], cwd=folder, input=diff.encode(), check=True
        )
        for path, text in after.items():
            assert (folder / path).read_bytes().decode() == text


@contextmanager
def temporary(texts: Mapping[str, str]) -> Iterator[Path]:
    """A folder that holds `texts`, byte for byte."""
    with TemporaryDirectory() as name:
        for path, text in texts.items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(text.encode())
        yield Path(name)


CRLF = "import os\r\n\r\ndef f():\r\n    pass\r\n\r\ndef g():\r\n    return 1"


def test_crlf_and_a_missing_last_line_end_survive_git_and_patch() -> None:
    patch = make_patch([Edit("a.py", len(CRLF), len(CRLF), "\r\n# end", "helper")])
    diff = patch.unified({"a.py": CRLF})
    assert diff.count("\\ No newline at end of file\n") == 2
    for command in (["git", "apply", "-"], ["patch", "-p1", "--binary"]):
        with temporary({"a.py": CRLF}) as folder:
            subprocess.run(command, cwd=folder, input=diff.encode(), check=True, capture_output=True)
            assert (folder / "a.py").read_bytes() == (CRLF + "\r\n# end").encode()


def test_a_created_file_comes_from_dev_null_and_its_inverse_goes_there() -> None:
    patch = make_patch([Edit("t.py", 0, 0, "x\n", "tests")], created=["t.py"])
    assert patch.unified({}) == "--- /dev/null\n+++ b/t.py\n@@ -0,0 +1 @@\n+x\n"
    assert patch.inverse({}).unified({"t.py": "x\n"}) == "--- a/t.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    with pytest.raises(TargetChanged, match="created while"):
        patch.apply({"t.py": "theirs"})


def test_edits_that_overlap_are_no_patch() -> None:
    with pytest.raises(ValueError, match="overlap"):
        make_patch([Edit("a.py", 0, 5, "", "target"), Edit("a.py", 4, 6, "", "target")])


def test_insertions_at_one_place_keep_their_order() -> None:
    edits = [Edit("a.py", 1, 1, new, "helper") for new in "xyz"]
    assert make_patch(edits).apply({"a.py": "()"}) == {"a.py": "(xyz)"}


OLD = """\
import os

X = 1


def target(a):
    return a


class A:
    def m(self):
        pass
"""


def generated(text: str = OLD) -> Patch:
    """What a generation does: an import, a helper above the target, the target, a method."""
    found = {f.id.qualname: f for f in functions("a.py", text)}
    target, method = found["target"].span, found["A.m"].span
    above = target.start
    return make_patch(
        make_edit(text, edit)
        for edit in (
            Edit("a.py", 10, 10, "import re\n", "import"),
            Edit("a.py", above, above, "def _help(): return 2\n\n\n", "helper", "_help"),
            Edit("a.py", *target, "def target(a):\n    return _help()", "target", "target"),
            Edit("a.py", *method, "def m(self):\n        return 3", "target", "A.m"),
        )
    )


MOVES = {
    "nothing": ("", ""),
    "a line above": ("import os\n", "# hello\nimport os\n"),
    "a function between": ("class A:", "def other():\n    return 0\n\n\nclass A:"),
    "a changed constant": ("X = 1", "X = 2"),
    "another import": ("import os\n", "import os\nimport sys\n"),
    "more code in the class": ("class A:\n", "class A:\n    y = 1\n\n"),
    "a statement between the imports and the target": ("X = 1\n\n\n", "X = 1\nY = 2\n\n\n"),
    "a base class": ("class A:", "class A(B):"),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_patch_follows_text_that_moved(move: str) -> None:
    before, after = MOVES[move]
    new = OLD.replace(before, after, 1) if before else OLD
    moved = generated().rebase({"a.py": OLD}, {"a.py": new}, spans).apply({"a.py": new})["a.py"]
    assert moved == generated().apply({"a.py": OLD})["a.py"].replace(before, after, 1)


CHANGES = {
    "the target": ("return a", "return b", "target changed"),
    "the target's signature": ("target(a)", "target(a, b)", "target changed"),
    "the target's name": ("def target", "def renamed", "target is no longer in a.py"),
    "a method's class": ("class A", "class B", "A.m is no longer in a.py"),
    "the method": ("        pass", "        ...", "A.m changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_patch_refuses_text_that_was_edited(change: str) -> None:
    before, after, sentence = CHANGES[change]
    with pytest.raises(TargetChanged, match=sentence):
        generated().rebase({"a.py": OLD}, {"a.py": OLD.replace(before, after)}, spans)


def test_a_patch_is_not_applied_to_another_text() -> None:
    with pytest.raises(TargetChanged, match="target changed"):
        generated().apply({"a.py": OLD.replace("return a", "return b")})


def test_a_patch_follows_text_when_something_comes_behind_it() -> None:
    new = OLD + "\n\nprint(1)\n"
    moved = generated().rebase({"a.py": OLD}, {"a.py": new}, spans).apply({"a.py": new})["a.py"]
    assert moved == generated().apply({"a.py": OLD})["a.py"] + "\n\nprint(1)\n"


def test_a_place_whose_neighbours_both_changed_is_refused() -> None:
    patch = make_patch([Edit("a.py", 4, 4, "x\n", "helper", "h")])
    with pytest.raises(TargetChanged, match="h changed"):
        patch.rebase({"a.py": "one\ntwo\n"}, {"a.py": "eins\nzwei\n"}, spans)


def test_a_deleted_file_is_refused() -> None:
    with pytest.raises(TargetChanged, match="no longer there"):
        generated().rebase({"a.py": OLD}, {}, spans)


@given(
    st.lists(st.sampled_from(["# c", "", "X = 2", "def other(): pass", "def _help(): 1", "\f"]), max_size=4),
    st.data(),
)
def test_lines_added_anywhere_outside_the_functions_do_not_matter(
    added: list[str], data: st.DataObject
) -> None:
    lines = OLD.split("\n")
    new = list(lines)
    for line in added:
        free = [i for i, old in enumerate(new) if not old.startswith((" ", "class", "def target")) or i == 0]
        at = data.draw(
            st.sampled_from([i for i in free if i == 0 or not new[i - 1].startswith(("def t", "class"))])
        )
        new.insert(at, line)
    text = "\n".join(new)
    assume(text.count(OLD[OLD.index("def target") : OLD.index("\n\n\nclass")]) == 1)
    result = generated().rebase({"a.py": OLD}, {"a.py": text}, spans).apply({"a.py": text})["a.py"]
    found = {f.id.qualname: result[slice(*f.span)] for f in functions("a.py", result)}
    assert found["target"].endswith("return _help()")
    assert found["A.m"].endswith("return 3")
    assert sorted(result.split("\n")) == sorted(
        [*generated().apply({"a.py": OLD})["a.py"].split("\n"), *added]
    )


TWO = "import os\n\n\ndef one():\n    ...\n\n\ndef two():\n    ...\n"


def test_a_patch_grows_function_by_function() -> None:
    """Imports come with the first function of their file, a helper with the first that needs it."""
    one, two = TWO.index("def one"), TWO.index("def two")
    edits = [
        Edit("a.py", 10, 10, "import re\n", "import"),
        Edit("a.py", one, one + 18, "def one():\n    return 1", "target", "one"),
        Edit("a.py", two, two, "def _b():\n    return 2\n\n\n", "helper", "_b"),
        Edit("a.py", two, two, "def _a():\n    return _b()\n\n\n", "helper", "_a"),
        Edit("a.py", two, two + 18, "def two():\n    return _a()", "target", "two"),
        Edit("b.py", 0, 0, "def test_one(): ...\n", "tests"),
    ]
    texts = {"a.py": TWO}
    patch = make_patch((make_edit(TWO if e.path == "a.py" else "", e) for e in edits), ["b.py"])
    (first, alone), (second, whole) = patch.by_function()
    assert (first, second, whole) == ("a.py::one", "a.py::two", patch)
    text = alone.apply(texts)["a.py"]
    assert "import re" in text and "return 1" in text
    assert "_a" not in text and "_b" not in text
    assert alone.paths == ("a.py",)


def test_a_patch_that_replaces_no_function_is_one_part() -> None:
    patch = make_patch([make_edit("", Edit("t.py", 0, 0, "x = 1\n", "tests"))], ["t.py"])
    assert patch.by_function() == (("", patch),)
