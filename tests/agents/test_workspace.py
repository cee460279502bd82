"""The snapshot: which files are the workspace's own, how they are read and written; git runs nothing."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soa_agents.errors import Refused, UsageError
from soa_agents.workspace import repository
from soa_agents.workspace.repository import Commit
from soa_agents.workspace.snapshot import (
    MAX_BYTES,
    Snapshot,
    is_test_file,
    open_folders,
    read_text,
    write_text,
)

Git = Callable[..., str]


def put(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text)


def own(root: Path, *more: Path, **options: object) -> tuple[list[str], dict[str, int]]:
    listing = Snapshot(open_folders([root, *more]), **options).python_files()  # type: ignore[arg-type]
    return [file.path for file in listing.files], dict(listing.skipped)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository at `tmp_path` with one commit; gives a runner."""

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode()

    put(tmp_path, a="x = 1\n", pkg__b="y = 1\n")
    (tmp_path / ".gitignore").write_text("ignored.py\nout/\n")
    run("init", "-q")
    run("add", ".")
    run("commit", "-q", "-m", "Start")
    return run


def test_foreign_and_strange_files_are_left_out_and_counted(tmp_path: Path) -> None:
    put(tmp_path, a="", pkg__b="", node_modules__c="", pkg___vendor__d="", env__e="", build__f="", seen__g="")
    put(tmp_path, **{".hidden__h": "", "big": "#" * (MAX_BYTES + 1)})
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / ".env.py").write_text("SECRET = 1")
    (tmp_path / "link.py").symlink_to("a.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / ".gitignore").write_text("seen\n")
    os.mkfifo(tmp_path / "pipe.py")
    paths, skipped = own(tmp_path)
    assert paths == ["a.py", "pkg/b.py"]
    assert skipped == {"hidden": 1, "symlink": 2, "too large": 1, "not a file": 1}


def test_git_says_what_is_ignored(git: Git, tmp_path: Path) -> None:
    put(tmp_path, ignored="", out__c="", new__d="", venv__e="", pkg__build__f="")
    (tmp_path / "a.py").unlink()
    assert own(tmp_path)[0] == ["new/d.py", "pkg/b.py", "pkg/build/f.py"]
    assert own(tmp_path / "pkg")[0] == ["b.py", "build/f.py"]
    assert own(tmp_path / "out")[0] == ["c.py"], "a folder opened by itself is wanted, ignored or not"
    assert own(tmp_path, exclude=("build/", "/new/"))[0] == ["pkg/b.py"]


def test_asking_git_runs_nothing_that_the_repository_names(git: Git, tmp_path: Path) -> None:
    for key in ("core.fsmonitor", "core.pager", "diff.external", "filter.x.clean", "core.sshCommand"):
        git("config", key, f"touch {tmp_path}/ran")
    (tmp_path / ".git/info/attributes").write_text("*.py filter=x\n")
    for hook in ("post-index-change", "reference-transaction", "post-commit"):
        path = tmp_path / ".git/hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        path.chmod(0o755)
    (tmp_path / "a.py").write_text("x = 2\n")
    assert own(tmp_path)[0] == ["a.py", "pkg/b.py"]
    repository.commit_branch(tmp_path, "soa/x", [Commit("Message", {"a.py": b"x = 3\n"})])
    assert not (tmp_path / "ran").exists()


def test_a_branch_takes_the_texts_and_leaves_everything_else(git: Git, tmp_path: Path) -> None:
    put(tmp_path, a="x = 'edited'\n", untracked="")
    (tmp_path / "pkg/b.py").write_text("y = 'staged'\n")
    git("add", "pkg/b.py")
    before = (git("status", "--porcelain"), git("rev-parse", "HEAD"), git("symbolic-ref", "HEAD"))
    index = (tmp_path / ".git/index").read_bytes()
    made = repository.commit_branch(
        tmp_path / "pkg",
        "soa/total",
        [Commit("First", {"c/d.py": b"z\n"}), Commit("Say why", {"b.py": b"y = 2\r\n"})],
    )
    assert (tmp_path / ".git/index").read_bytes() == index
    assert (git("status", "--porcelain"), git("rev-parse", "HEAD"), git("symbolic-ref", "HEAD")) == before
    assert git("show", f"{made}:pkg/b.py") == "y = 2\n"
    assert git("diff", "--name-only", "HEAD", "soa/total").split() == ["pkg/b.py", "pkg/c/d.py"]
    assert git("log", "-2", "--format=%s", "soa/total").split("\n")[:2] == ["Say why", "First"]
    assert git("diff", "--name-only", "HEAD", "soa/total~").split() == ["pkg/c/d.py"]
    assert len(git("worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("branch", "sentence"),
    [("master", "exists already"), ("main", "exists already"), ("-d", "not a name"), ("a..b", "not a name")],
)
def test_a_branch_that_cannot_be_is_refused(git: Git, tmp_path: Path, branch: str, sentence: str) -> None:
    if sentence == "exists already":
        git("branch", "-M", branch)
    with pytest.raises(Refused, match=sentence):
        repository.commit_branch(tmp_path, branch, [Commit("x", {"a.py": b""})])


def test_without_a_repository_there_is_no_branch(tmp_path: Path) -> None:
    assert repository.listed(tmp_path) is None
    with pytest.raises(Refused, match="no git repository"):
        repository.commit_branch(tmp_path, "x", [])


def test_without_git_the_plain_rules_hold(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, ignored="", new="")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own(tmp_path)[0] == ["a.py", "new.py", "pkg/b.py"]


def test_buffers_win_over_the_disk_and_new_ones_are_listed(tmp_path: Path) -> None:
    put(tmp_path, a="disk")
    snapshot = Snapshot(open_folders([tmp_path]), {"a.py": "buffer", "new.py": "n"})
    assert snapshot.texts(["a.py", "new.py", "none.py"]) == {"a.py": "buffer", "new.py": "n"}
    assert [file.path for file in snapshot.python_files().files] == ["a.py", "new.py"]


def test_several_folders_have_names_of_their_own(tmp_path: Path) -> None:
    one, two, inner = tmp_path / "x/app", tmp_path / "y/app", tmp_path / "x/app/inner"
    for root in (one, two, inner):
        put(root, a=str(root))
    snapshot = Snapshot(open_folders([one, two, inner, one]))
    assert [folder.name for folder in snapshot.folders] == ["app", "app-2", "inner"]
    assert [file.path for file in snapshot.python_files().files] == ["app-2/a.py", "app/a.py", "inner/a.py"]
    for path in ("app-2/a.py", "inner/a.py"):
        assert snapshot.path(snapshot.disk(path)) == path
    assert snapshot.path(tmp_path / "z.py") is None


@pytest.mark.parametrize("path", ["../a.py", "/etc/passwd", "x/../../a.py", ""])
def test_no_path_leaves_the_workspace(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="not in this workspace"):
        Snapshot(open_folders([tmp_path])).disk(path)


BYTES = {
    "utf-8": ("é = 1\r\n".encode(), "é = 1\r\n"),
    "byte order mark": (b"\xef\xbb\xbfx\r", "x\r"),
    "declared": ("# coding: latin-1\né\f\n".encode("latin-1"), "# coding: latin-1\né\f\n"),
    "broken": (b"\xff\xfe", None),
    "binary": (b"x\0", None),
    "unknown encoding": (b"# coding: klingon\n", None),
    "two truths": (b"\xef\xbb\xbf# coding: latin-1\n", None),
}


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_are_read_as_python_reads_them_and_written_back_the_same(tmp_path: Path, kind: str) -> None:
    data, text = BYTES[kind]
    path = tmp_path / "a.py"
    path.write_bytes(data)
    assert read_text(path) == text
    if text is not None:
        assert Snapshot(open_folders([tmp_path])).encode("a.py", text) == data
        write_text(path, text)
        assert path.read_bytes() == data


@pytest.mark.parametrize("made", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to(path)])
def test_what_is_no_file_reads_as_nothing(tmp_path: Path, made: Callable[[Path], None]) -> None:
    made(tmp_path / "a.py")
    assert read_text(tmp_path / "a.py") is None


def test_writing_keeps_the_mode_and_follows_links(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")
    path.chmod(0o751)
    (tmp_path / "link.py").symlink_to(path)
    write_text(tmp_path / "link.py", "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o751)
    assert (tmp_path / "link.py").is_symlink()
    write_text(tmp_path / "sub/new.py", "n")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.py", "link.py", "new.py", "sub"]


def test_a_sign_that_the_encoding_lacks_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"# coding: latin-1\n")
    with pytest.raises(Refused, match=r"a\.py is written in .*convert it to UTF-8"):
        write_text(path, "# coding: latin-1\n'→'\n")
    assert path.read_bytes() == b"# coding: latin-1\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # writes to the disk
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")), st.booleans())
def test_every_text_survives_the_disk(tmp_path: Path, text: str, mark: bool) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbf" if mark else b"")
    write_text(path, "#\n\n" + text)
    assert read_text(path) == "#\n\n" + text
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") is mark


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("tests/helpers.py", True),
        ("pkg/test_a.py", True),
        ("pkg/a_test.py", True),
        ("conftest.py", True),
        ("pkg/tests.py", True),
        ("pkg/testing.py", False),
        ("contest.py", False),
        ("latest/a.py", False),
    ],
)
def test_test_files_are_known_by_name_and_place(path: str, test: bool) -> None:
    assert is_test_file(path) is test
