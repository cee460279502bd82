"""The index: what is cached is what would be read anew, and no state of the cache does harm."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.facts import FileFacts
from soa_agents.workspace.index import known_facts, open_index, scan, update
from soa_agents.workspace.mapping import agents_map, asked_agents, kept_agents, kept_stubs, main, refresh
from soa_agents.workspace.snapshot import Snapshot, open_folders
from soa_agents.workspace.store import cache_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text("def total(x): return part(x)\ndef part(x): ...\ndef lone(): return 1\n")
    (root / "tests/test_shop.py").write_text("import shop\ndef test_total(): shop.total(1)\n")
    (root / "binary.py").write_bytes(b"\0")
    return root


def kept(cache: Path) -> list[str]:
    with sqlite3.connect(cache) as store:
        return sorted(path for (path,) in store.execute("SELECT path FROM files"))


def test_a_second_scan_reads_nothing_and_says_the_same(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache/index.db"
    snapshot = Snapshot(open_folders([root]))
    first = scan(snapshot, cache)
    assert sorted(first) == ["shop.py", "tests/test_shop.py"]
    stamp = (root / "shop.py").stat()
    (root / "shop.py").write_text("#" * stamp.st_size)
    os.utime(root / "shop.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert scan(snapshot, cache) == first, "same size and time: the file was not opened"
    os.utime(root / "shop.py", ns=(0, 0))
    assert scan(snapshot, cache)["shop.py"].functions == ()


def test_changed_new_and_deleted_files_are_seen(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "index.db"
    snapshot = Snapshot(open_folders([root]))
    scan(snapshot, cache)
    (root / "shop.py").unlink()
    (root / "new.py").write_text("def f(): ...\n")
    assert sorted(scan(snapshot, cache)) == ["new.py", "tests/test_shop.py"] == kept(cache)


def test_a_branch_switch_of_thousands_of_files_is_seen(tmp_path: Path) -> None:
    """Half of them changed, some deleted, new, renamed or moved; what stays is not read again."""
    cache, root = tmp_path / "index.db", tmp_path / "repo"
    (root / "old").mkdir(parents=True)
    for number in range(2400):
        (root / "old" / f"m{number}.py").write_text(f"import a{number}\ndef f{number}(): ...\n")
    snapshot = Snapshot(open_folders([root]))
    scan(snapshot, cache)
    for number, file in enumerate(sorted((root / "old").iterdir())):
        if number % 2:
            file.write_text(f"def g{number}(): return f{number}()  # longer than it was\n")
        elif number % 12 == 0:
            file.unlink()
        elif number % 12 == 4:
            file.rename(root / f"new{number}.py")
    (root / "added.py").write_text("def added(): ...\n")
    with closing(open_index(cache)) as store:
        changes = update(snapshot, store)
    assert changes.files == 1200 + 200 + 2 * 200 + 1, "changed, deleted, gone here and come there, new"
    assert scan(snapshot, cache) == scan(snapshot)
    (root / "old").rename(root / "other")
    assert scan(snapshot, cache) == scan(snapshot)


def test_buffers_are_read_and_never_cached(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "index.db"
    buffered = Snapshot(open_folders([root]), {"shop.py": "def typed(): ..."})
    assert [f.qualname for f in scan(buffered, cache)["shop.py"].functions] == ["typed"]
    assert len(scan(Snapshot(open_folders([root])), cache)["shop.py"].functions) == 3


def spoil_rows(cache: Path) -> None:
    with sqlite3.connect(cache) as store:
        store.execute("UPDATE facts SET said = '{}'")
    store.close()


def age(cache: Path) -> None:
    with sqlite3.connect(cache) as store:
        store.execute("DROP TABLE files")
        store.execute("CREATE TABLE files (other)")
        store.execute("PRAGMA user_version = 99")
    store.close()


SPOILED = {
    "garbage": lambda cache: cache.write_bytes(b"garbage" * 1000),
    "empty": lambda cache: cache.write_bytes(b""),
    "cut off": lambda cache: cache.write_bytes(cache.read_bytes()[:5000]),
    "rows": spoil_rows,
    "another version": age,
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_cache_is_made_anew(root: Path, tmp_path: Path, how: str) -> None:
    cache = tmp_path / "index.db"
    snapshot = Snapshot(open_folders([root]))
    first = scan(snapshot, cache)
    SPOILED[how](cache)
    assert scan(snapshot, cache) == first
    assert kept(cache) == sorted(first)


def test_a_cache_that_cannot_be_is_done_without(root: Path) -> None:
    snapshot = Snapshot(open_folders([root]))
    assert scan(snapshot, root / "shop.py" / "index.db") == scan(snapshot, root) == scan(snapshot)


def test_the_cache_of_a_workspace_is_its_own_and_private(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    workspaces = [open_folders([root]), open_folders([root, tmp_path]), open_folders([tmp_path])]
    caches = [cache_file(folders) for folders in workspaces]
    assert len({*caches}) == 3
    assert cache_file(open_folders([root])) == caches[0]
    scan(Snapshot(workspaces[0]), caches[0])
    assert kept(caches[0]) == ["shop.py", "tests/test_shop.py"]
    made = [folder for folder in caches[0].parents if folder.is_relative_to(tmp_path / "home")]
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}


def test_caches_that_nobody_opens_any_more_are_dropped(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = cache_file(open_folders([root]))
    snapshot = Snapshot(open_folders([root]))
    scan(snapshot, cache)
    elsewhere = tmp_path / "mine.sqlite3"
    others = [cache.with_name("old.sqlite3"), cache.with_name("new.sqlite3"), elsewhere]
    for other in others:
        other.touch()
    for old in (others[0], elsewhere, cache):
        os.utime(old, (0, 0))
    scan(snapshot, cache)
    scan(snapshot, tmp_path / "chosen.sqlite3")
    assert [each.exists() for each in (*others, cache)] == [False, True, True, True]


def test_processes_fill_one_cache_at_once(root: Path, tmp_path: Path) -> None:
    for number in range(300):
        (root / f"more_{number}.py").write_text(f"def f{number}(): return g{number}()\n")
    cache = tmp_path / "c.db"
    command = [sys.executable, "-m", "soa_agents.workspace.mapping", "--cache", str(cache), str(root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)]
    assert [(each.communicate(timeout=60)[0], each.returncode) for each in running] == [(b"", 0)] * 3
    snapshot = Snapshot(open_folders([root]))
    assert scan(snapshot, cache) == scan(snapshot)
    assert len(kept(cache)) == 302


def test_functions_are_mapped_to_agents(root: Path) -> None:
    graph = CallGraph(scan(Snapshot(open_folders([root]))))
    assert agents_map(graph) == [
        {
            "function": "shop.py::total",
            "role": "mother",
            "children": ["shop.py::part"],
            "tests": ["tests/test_shop.py::test_total"],
            "status": "unknown",
        },
        {"function": "shop.py::part", "role": "child", "children": [], "tests": [], "status": "stub"},
        {"function": "shop.py::lone", "role": "child", "children": [], "tests": [], "status": "untested"},
    ]
    assert agents_map(graph, "tests/test_shop.py") == agents_map(graph, "none.py") == []


def test_the_indexer_fills_the_cache_and_exits(root: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "soa_agents.workspace.mapping",
        "--cache",
        str(tmp_path / "c.db"),
        str(root),
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert kept(tmp_path / "c.db") == ["shop.py", "tests/test_shop.py"]
    with pytest.raises(SystemExit):
        main(["--cache", str(tmp_path / "c.db")])


def stored(snapshot: Snapshot, cache: Path) -> dict[str, FileFacts]:
    """What the cache knows of the snapshot's folders, by path."""
    with closing(open_index(cache)) as store:
        return known_facts(snapshot, store)


def test_what_is_stored_is_read_without_a_look_at_the_files(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "index.db"
    snapshot = Snapshot(open_folders([root]))
    assert stored(snapshot, cache) == {}
    first = scan(snapshot, cache)
    (root / "shop.py").unlink()
    assert stored(snapshot, cache) == first


PIECES = (
    "from shop import part, Cart as C\n",
    "import pkg.deep as deep, shop\n",
    "def total(x): return part(x)\n",
    "def part(x): ...\n",
    "def lone(): return shop.total(1) + deep.far()\n",
    "def far(): return 1\n",
    "class Cart:\n    def pay(self): return self.sum()\n    def sum(self): return 1\n",
    "class Big(C):\n    def sum(self): return part(2)\n",
    "def test_a(): assert part(1) == total(1)\n",
    "def test_b(): C().pay()\n",
    "def test_c(x): x.pay(); deep.far()\n",
    "class TestBig:\n    def test_d(self): Big().sum()\n",
    "# nothing\n",
)
FILES = ("shop.py", "pkg/__init__.py", "pkg/deep.py", "tests/test_shop.py", "tests/test_more.py", "other.py")


Edit = tuple[str, frozenset[int] | None]  # a file, and its pieces; None removes it
EDITS = st.tuples(
    st.sampled_from(FILES),
    st.none() | st.frozensets(st.integers(0, len(PIECES) - 1), max_size=4),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=6))
def test_whatever_is_edited_the_index_says_what_a_new_one_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[Edit]]
) -> None:
    place = tmp_path_factory.mktemp("edited")
    root, cache = place / "project", place / "index.db"
    root.mkdir()
    snapshot = Snapshot(open_folders([root]))
    for step, edits in enumerate(steps):
        for name, pieces in edits:
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(PIECES[n] for n in sorted(pieces or ())))
            os.utime(file, ns=(step, step))
            if pieces is None:
                file.unlink()
        refresh(snapshot, cache, ["shop.py", "none.py"])
        new = scan(snapshot)
        assert stored(snapshot, cache) == new
        assert asked_agents(snapshot, cache) == agents_map(CallGraph(new))
        for path in ("shop.py", "pkg/deep.py", "none.py"):
            asked = asked_agents(snapshot, cache, path)
            assert asked == agents_map(CallGraph(new), path)
            assert kept_agents(cache, path) == (asked, True)
        assert list(kept_stubs(cache)) == [
            (path, each.qualname, each.line)
            for path, facts in sorted(new.items())
            if not facts.is_test
            for each in facts.functions
            if each.is_stub
        ]


def test_what_was_kept_before_a_change_says_so(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "index.db"
    snapshot = Snapshot(open_folders([root]))
    assert kept_agents(cache, "shop.py") == ([], False)
    refresh(snapshot, cache, ["shop.py"])
    before, current = kept_agents(cache, "shop.py")
    assert current
    assert [agent["status"] for agent in before] == ["unknown", "stub", "untested"]
    refresh(snapshot, cache)
    assert kept_agents(cache, "shop.py") == (before, True)
    (root / "more.py").write_text("import shop\n")
    refresh(snapshot, cache)
    assert kept_agents(cache, "shop.py") == (before, False)


def test_open_buffers_are_laid_over_what_is_indexed(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "index.db"
    refresh(Snapshot(open_folders([root])), cache)
    typed = {"shop.py": "def total(x): return part(x)\ndef part(x): return 1\ndef new(): ...\n"}
    snapshot = Snapshot(open_folders([root]), typed)
    assert asked_agents(snapshot, cache) == agents_map(CallGraph(scan(snapshot)))
    assert [agent["status"] for agent in asked_agents(snapshot, cache, "shop.py")] == [
        "unknown",
        "untested",
        "stub",
    ]
    assert kept_agents(cache, "shop.py") == ([], False), "what is typed is nobody's for keeps"


def test_a_file_of_patterns_says_what_else_is_left_out(root: Path) -> None:
    (root / ".soaignore").write_text("tests/\n")
    assert sorted(scan(Snapshot(open_folders([root])))) == ["shop.py"]
