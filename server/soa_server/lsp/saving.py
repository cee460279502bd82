"""Tests that run when a file is saved (`tests.runOnSave`): a moment after the last save, one run at once."""

from __future__ import annotations

import asyncio

from soa_server.lsp.controller import Controller
from soa_server.lsp.jobs import Request

MOMENT = 0.3  # seconds without a further save of the file


class OnSave:
    """One run for each file that was saved, however often; what is saved during a run is run once more."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._waiting: dict[str, None] = {}  # in the order of their turns
        self._work: asyncio.Task[None] | None = None

    def saved(self, uri: str) -> None:
        """A file was saved; its tests are due in a moment."""
        if uri in self._due:
            self._due[uri].cancel()
        self._due[uri] = asyncio.get_running_loop().call_later(MOMENT, self._enqueue, uri)

    def close(self) -> None:
        """Begin no further run."""
        for due in self._due.values():
            due.cancel()
        if self._work is not None:
            self._work.cancel()

    def _enqueue(self, uri: str) -> None:
        del self._due[uri]
        self._waiting[uri] = None
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run_all())

    async def _run_all(self) -> None:
        jobs = self._controller.jobs
        while self._waiting:
            for job in jobs.all():  # a person's own runs first
                if job.request.kind == "runTests":
                    await job.ended.wait()
            uri = next(iter(self._waiting))
            del self._waiting[uri]
            job_id = self._controller.begin(Request(kind="runTests", uri=uri, quiet=True))
            begun = jobs.get(job_id)
            if begun is not None:
                await begun.ended.wait()
