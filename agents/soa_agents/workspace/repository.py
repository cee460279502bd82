"""Git, as far as SoA asks it: what belongs to the workspace, and a branch with a result on request.

Git runs with file-system monitor, hooks, filters, transports and optional locks off, so nothing that a
repository names is executed; the person's index, HEAD, work tree and existing branches are never written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from soa_agents.errors import Refused

_OFF = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "protocol.allow=never")


def listed(root: Path) -> tuple[str, ...] | None:
    """The files below `root` that git tracks or does not ignore, relative to it, with `/`; sorted.

    None without git, or where `root` is in no repository (or in one that belongs to somebody else).
    """
    try:
        found = _Git(root).run(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"
        )
    except _GitError:
        return None
    return tuple(sorted(os.fsdecode(name) for name in found.split(b"\0") if name))


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit to make: its message, and what stands in it then (path below the root -> bytes)."""

    message: str
    contents: Mapping[str, bytes]


def commit_branch(root: Path, branch: str, commits: Sequence[Commit]) -> str:
    """Create `branch`: HEAD and these commits on top of it, made in a worktree of their own that goes again.

    Gives the last one's hash. The branch is there with its last commit or not at all. Raises `Refused` when
    there is no repository with a commit, or when the name is taken or is no branch name.
    """
    git = _Git(root)
    try:
        head = git.line("rev-parse", "--verify", "HEAD^{commit}")
        prefix = git.line("rev-parse", "--show-prefix")
    except _GitError as error:
        raise Refused(f"{root.name} is in no git repository with a commit; leave out --branch.") from error
    reference = f"refs/heads/{branch}"
    if not git.succeeds("check-ref-format", "--branch", branch) or branch.startswith("-"):
        raise Refused(f"{branch!r} is not a name for a branch; choose another one.")
    if git.succeeds("rev-parse", "--verify", "--quiet", reference):
        raise Refused(f"The branch {branch} exists already; choose another name.")
    try:
        commit = head
        with _worktree(git, head) as apart:
            for each in commits:
                contents = {prefix + path: data for path, data in each.contents.items()}
                commit = _committed(apart, head, commit, replace(each, contents=contents))
        git.run("update-ref", "-m", "soa", reference, commit, "0" * len(commit))
    except _GitError as error:
        raise Refused(f"Git could not write the branch {branch}: {error}. Nothing was changed.") from error
    return commit


class _GitError(Exception):
    """Git is missing or said no; the message is its last line."""


@dataclass(frozen=True, slots=True)
class _Git:
    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> bytes:
        """What the command prints; raises `_GitError`."""
        if shutil.which("git") is None:
            raise _GitError("git is not installed")
        import git  # here, because it is slow to load and starts git to learn its version

        options = [part for option in _OFF for part in ("-c", option)]
        environment = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", **self.environment}
        try:
            printed = git.Git(str(self.root)).execute(
                ["git", *options, *arguments],
                env=environment,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except (git.CommandError, OSError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().strip("'")
            raise _GitError(said.splitlines()[-1] if said else "git failed") from error
        return printed if isinstance(printed, bytes) else b""

    def line(self, *arguments: str) -> str:
        return os.fsdecode(self.run(*arguments)).rstrip("\n")

    def succeeds(self, *arguments: str) -> bool:
        try:
            self.run(*arguments)
        except _GitError:
            return False
        return True

    def given(self, **environment: str) -> _Git:
        return _Git(self.root, {**self.environment, **environment})


@contextmanager
def _worktree(git: _Git, head: str) -> Iterator[_Git]:
    """A worktree that stands at `head`, with an index of its own and no files: what is checked out passes
    through programs that the repository names. It is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="soa-branch-") as scratch:
        place = Path(scratch) / "worktree"
        git.run("worktree", "add", "--no-checkout", "--detach", str(place), head)
        try:
            apart = _Git(place)
            apart.run("read-tree", head)
            yield apart
        finally:
            git.run("worktree", "remove", "--force", str(place))


def _committed(apart: _Git, head: str, parent: str, commit: Commit) -> str:
    """The hash of a commit on `parent`, in a worktree whose index stands there."""
    for path, data in sorted(commit.contents.items()):
        mode, data = _as_committed(apart, head, path, data)
        blob = apart.root.with_name("blob")
        blob.write_bytes(data)
        name = apart.line("hash-object", "-w", "--no-filters", str(blob))
        apart.run("update-index", "--add", "--cacheinfo", f"{mode},{name},{path}")
    tree = apart.line("write-tree")
    return _identified(apart).line("commit-tree", tree, "-p", parent, "-m", commit.message)


def _as_committed(git: _Git, head: str, path: str, data: bytes) -> tuple[str, bytes]:
    """The file's mode in `head`, and `data` with the line ends it has there, where git turns them."""
    entry = git.line("ls-tree", "--full-tree", head, "--", path).split()
    if not entry:
        return "100644", data
    if b"\r\n" not in git.run("cat-file", "blob", entry[2]):
        data = data.replace(b"\r\n", b"\n")
    return entry[0], data


def _identified(git: _Git) -> _Git:
    """With the person's own name and address, or SoA's where git knows none."""
    if git.succeeds("config", "user.name") and git.succeeds("config", "user.email"):
        return git
    who = {"NAME": "SoA", "EMAIL": "soa@localhost"}
    return git.given(**{f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()})
