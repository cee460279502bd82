"""Writing a job's result into the files or onto a new branch: nothing else here writes to a workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from soa_agents.errors import Refused, TargetChanged
from soa_agents.patch import Patch
from soa_agents.swarm.job import JobResult
from soa_agents.swarm.ledger import note_applied
from soa_agents.workspace.repository import Commit, commit_branch
from soa_agents.workspace.snapshot import Snapshot, encode_like, read_text, write_text

from soa_server.cli.options import Output


def result(root: Path, output: Output, job: JobResult) -> str:
    """Write what the job proved, or what `--untested` allows. Returns one sentence that says what was done.

    Raises `TargetChanged` when a file is not as it was when the job began, `Refused` when a file cannot be
    written or the branch cannot be made; then every file is as it was.
    """
    if not job.patch.edits:
        return ""
    if reason := _why_not(output, job):
        return f"Not written: {reason}"
    before = job.texts or {}
    if output.branch:
        return _branch(root, output.branch, job)
    _check(root, before, job.patch)
    after = job.patch.apply(before)
    _write(root, before, after)
    note_applied([root], job.update.job_id, job.patch, before)
    return f"Wrote {', '.join(sorted(after))}."


def _write(root: Path, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """All of the files or none; raises `Refused`."""
    done: list[str] = []
    try:
        for path, text in after.items():
            write_text(root / path, text)
            done.append(path)
    except OSError as error:
        for written in done:
            if written in before:
                write_text(root / written, before[written])
            else:
                (root / written).unlink()
        raise Refused(
            f"{path} cannot be written ({error.strerror}), so nothing was. Make it writable and try again, "
            "or apply the diff yourself."
        ) from error


def back(snapshot: Snapshot, patch: Patch, texts: Mapping[str, str]) -> str:
    """Write the inverse of a job's patch, made on `texts` as they are now. Returns what was done."""
    after = patch.apply(texts)
    for path, text in after.items():
        if path in patch.deleted:
            snapshot.disk(path).unlink()
        else:
            write_text(snapshot.disk(path), text)
    return f"Took back what the job wrote in {', '.join(sorted(after))}."


def _branch(root: Path, name: str, job: JobResult) -> str:
    before = job.texts or {}
    _check(root, before, job.patch)
    commits = list(_commits(root, job))
    commit = commit_branch(root, name, commits)
    made = f"{len(commits)} commits, one a function" if len(commits) > 1 else commit[:10]
    return f"Committed to the new branch {name} ({made}); your files are as they were."


def _commits(root: Path, job: JobResult) -> Iterator[Commit]:
    """One commit a function, each with the files that it changes."""
    before = job.texts or {}
    known, kind = dict(before), "generate" if job.update.kind == "implementFile" else job.update.kind
    for function, part in job.patch.by_function():
        texts = part.apply(before)
        changed = {path: text for path, text in texts.items() if text != known.get(path)}
        known |= changed
        contents = {path: encode_like(root / path, text) for path, text in changed.items()}
        yield Commit(f"SoA: {kind} {function or job.update.target}", contents)


def _check(root: Path, before: Mapping[str, str], patch: Patch) -> None:
    """Every file is still as it was when the job began; raises `TargetChanged` for the first that is not."""
    for path in patch.paths:
        now = read_text(root / path)
        if now != (None if path in patch.created else before.get(path)):
            raise TargetChanged(
                f"{path} changed while SoA worked on it, so nothing was written. Run it again."
            )


def _why_not(output: Output, job: JobResult) -> str:
    """Why the result must not be written, or nothing."""
    if job.update.flags:
        return "the result may fool its tests."
    if job.update.verdict == "untested" and not output.untested:
        return "no test exercises it. Add --untested to write it anyway."
    if job.exit_code and job.offer != "apply":
        return "it is not proven."
    return ""
