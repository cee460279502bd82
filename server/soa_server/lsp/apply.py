"""From a job's patch to the person's buffers: compared again, rebased or refused, previewed, applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from soa_agents.errors import SoaError
from soa_agents.patch import Patch
from soa_agents.settings import state_folder
from soa_agents.swarm.job import JobResult, JobUpdate
from soa_agents.swarm.ledger import note_applied, note_end
from soa_agents.workspace.functions import spans
from soa_agents.workspace.snapshot import Snapshot

from soa_server.lsp import to_lsp
from soa_server.lsp.documents import Documents
from soa_server.lsp.jobs import Job
from soa_server.lsp.person import Person
from soa_server.settings import Preview


@dataclass(frozen=True, slots=True)
class Applied:
    """An edit that the client applied: the patch as it fitted, and the texts of its files before it."""

    patch: Patch
    before: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a patch. Without `done`, `sentence` says why not and `kept` is the diff's file."""

    done: Applied | None = None
    sentence: str = ""
    kept: Path | None = None
    moved: bool = False  # the text had changed meanwhile


async def offer(job: Job, result: JobResult, documents: Documents, person: Person) -> Outcome:
    """Bring a proven or previewed patch to the client. Never raises for what a person did meanwhile."""
    preview = wants_preview(result, job.resolved.editor.preview)
    if preview is None:
        why = result.preview_reason or "The result was not proven"
        sentence = f"{why.rstrip('.')}; it was kept as a diff because soa.preview is never."
        return Outcome(None, sentence, keep(job.id, result))
    if not person.client.applies_edits:
        sentence = "This editor does not apply edits from a server; apply the kept diff by hand."
        return Outcome(None, sentence, keep(job.id, result))
    snapshot = Snapshot(job.snapshot.folders)
    if preview:
        job.progress.report("waiting for your review")
    if preview and not person.client.annotations and not await _agreed(job, result, person):
        return Outcome(
            None,
            f"{job.request.name}: the preview was declined, so nothing was applied.",
            keep(job.id, result),
        )
    try:
        patch, files = rebased(_for_client(result, person), snapshot, documents)
    except SoaError as changed:
        return Outcome(None, str(changed), keep(job.id, result), moved=True)
    edit = to_lsp.workspace_edit(patch, files, person.client, confirm=preview and person.client.annotations)
    refused = await person.apply(f"SoA: {job.request.name}", edit)
    if refused is None:
        return Outcome(Applied(patch, {path: target.lines.text for path, target in files.items()}))
    return Outcome(None, _refusal(job, refused, preview=preview), keep(job.id, result))


async def undo(job: Job, done: Applied, documents: Documents, person: Person) -> None:
    """Take an applied edit back where every file of it is as the edit left it; else say so."""
    name = job.request.name
    back = done.patch.inverse(done.before)
    files = to_lsp.targets(back, Snapshot(job.snapshot.folders), documents)
    now = {path: target.lines.text for path, target in files.items()}
    if now != done.patch.apply(done.before):
        person.tell(
            f"{name} was edited since, so nothing was undone; use the editor's own undo.", warning=True
        )
        return
    edit = to_lsp.workspace_edit(back, files, person.client, confirm=False)
    if await person.apply(f"SoA: undo {name}", edit) is not None:
        person.tell(f"The client did not undo the edit of {name}; use the editor's own undo.", warning=True)


def wants_preview(result: JobResult, setting: Preview) -> bool | None:
    """Whether the patch is shown first; None when it may neither be applied straight nor shown."""
    if result.offer == "preview":
        return None if setting == "never" else True
    return setting == "always"


def _for_client(result: JobResult, person: Person) -> JobResult:
    """Without files of new tests where the client creates none: it would refuse the code along with them."""
    return result if person.client.creates_files else replace(result, patch=result.patch.to_existing())


def rebased(
    result: JobResult, snapshot: Snapshot, documents: Documents
) -> tuple[Patch, dict[str, to_lsp.Target]]:
    """The patch on the texts that stand there now; raises `TargetChanged` when they do not allow it."""
    old = result.texts or {}
    files = to_lsp.targets(result.patch, snapshot, documents)
    new = {path: target.lines.text for path, target in files.items() if target.exists}
    return result.patch.rebase(old, new, spans), files


async def _agreed(job: Job, result: JobResult, person: Person) -> bool:
    why = result.preview_reason or f"{job.request.name} is ready."
    return await person.choose(why, ("Apply", "Discard"), warning=False) == "Apply"


def _refusal(job: Job, reason: str, *, preview: bool) -> str:
    name = job.request.name
    if preview:
        return (
            f"The preview of {name} was declined, so nothing was applied. Generate it again when you want it."
        )
    why = f" ({' '.join(reason.split()).rstrip('.')})" if reason.strip() else ""
    return f"{name} is written, but the client did not apply the edit{why}; generate it again."


def keep(job_id: str, result: JobResult) -> Path | None:
    """Write the patch as a diff into the state folder; None when there is none or it cannot be written."""
    try:
        diff = result.patch.unified(result.texts or {})
        if not diff:
            return None
        path = state_folder() / "diffs" / f"{job_id}.diff"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(diff, encoding="utf-8", newline="")
    except (OSError, SoaError):
        return None
    return path


def remember(job: Job, result: JobResult, update: JobUpdate, outcome: Outcome) -> None:
    """Record in the job's ledger what became of its patch: written, or another end than the engine's."""
    roots = [folder.root for folder in job.snapshot.folders]
    if outcome.done is not None:
        note_applied(roots, job.id, outcome.done.patch, outcome.done.before)
    elif update.state != result.update.state:
        note_end(roots, update, result.patch)
