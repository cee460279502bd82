"""Taking back what a job wrote: the inverse of its patch, on the texts as they are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soa_agents.errors import Refused, TargetChanged
from soa_agents.patch import Patch
from soa_agents.swarm.events import Applied, Event, JobEnded, JobStarted
from soa_agents.workspace.functions import spans


def undo(events: Sequence[Event], now: Callable[[str], str | None]) -> tuple[Patch, dict[str, str]]:
    """The patch that takes a job's result back, and the texts it is made on.

    `now` reads a file of the workspace, None where there is none. What was edited elsewhere stays. Raises
    `Refused` when the job wrote nothing, `TargetChanged` when what it wrote is not there as it wrote it.
    """
    patch, before = _written(events)
    texts = {path: text for path in patch.paths if (text := now(path)) is not None}
    try:
        back = patch.inverse(before).rebase(patch.apply(before), texts, spans)
        left = back.apply(texts)
    except TargetChanged:
        left = None
    if left is None or any(left[path] for path in back.deleted):
        raise TargetChanged(
            f"What the job wrote is not in {', '.join(patch.paths)} as it wrote it, so nothing was taken "
            "back. Look at the job's diff in its history and change the file by hand."
        )
    return back, texts


def _written(events: Sequence[Event]) -> tuple[Patch, dict[str, str]]:
    """What a front end applied; else what the job came to, which a person may have applied."""
    for event in reversed(events):
        if isinstance(event, Applied):
            return event.patch, event.texts
    started = [event for event in events if isinstance(event, JobStarted)]
    ended = [event for event in events if isinstance(event, JobEnded) and event.patch.edits]
    if not started or not ended:
        raise Refused("This job wrote nothing, so there is nothing to undo.")
    return ended[-1].patch, started[-1].texts
