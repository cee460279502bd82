"""Git, as far as SoA asks it: what belongs to the workspace, and a branch with a result on request.

Git runs with file-system monitor, hooks, filters, transports and optional locks off, so nothing that a
repository names is executed; the person's index, HEAD, work tree and existing branches are never written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
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


def commit_branch(root: Path, branch: str, contents: Mapping[str, bytes], message: str) -> str:
    """Create `branch`: HEAD and one commit in which `contents` (path below `root` -> bytes) stand.

    Gives the commit's hash. Raises `Refused` when there is no repository with a commit, or when the name is
    taken or is no branch name.
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
        with tempfile.TemporaryDirectory(prefix="soa-branch-") as scratch:
            tree = _tree(git, Path(scratch), head, {prefix + path: data for path, data in contents.items()})
        commit = _identified(git).line("commit-tree", tree, "-p", head, "-m", message)
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


def _tree(git: _Git, scratch: Path, head: str, contents: Mapping[str, bytes]) -> str:
    """The tree of `head` with `contents` in it, made in an index of its own."""
    own = git.given(GIT_INDEX_FILE=str(scratch / "index"))
    own.run("read-tree", head)
    for number, (path, data) in enumerate(sorted(contents.items())):
        mode, data = _as_committed(git, head, path, data)
        blob = scratch / str(number)
        blob.write_bytes(data)
        name = own.line("hash-object", "-w", "--no-filters", str(blob))
        own.run("update-index", "--add", "--cacheinfo", f"{mode},{name},{path}")
    return own.line("write-tree")


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
