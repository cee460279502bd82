"""A node's part in a benchmark: it works on papers as a desk does, and asks the model through the driver.

The model's key stays where the benchmark was begun: a question goes back there, its answer comes here.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from soa_agents.bench.humaneval import Desk, Exam, Paper
from soa_agents.bench.results import Outcome
from soa_agents.errors import CallFailed, ModelError, PromptTooLong, SoaError
from soa_agents.models.access import Access
from soa_agents.models.port import Prompt, Reply, ReplyLost, Usage
from soa_agents.remote.home import Home
from soa_agents.remote.node import Refusal, versions
from soa_agents.settings import Settings
from soa_agents.verify.aside import aside
from soa_agents.verify.probe import probe


@dataclass(frozen=True, slots=True)
class Question:
    """What a job asks its model; `prompt` is None when the answer is not wanted any more."""

    number: int
    job: str
    prompt: Prompt | None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why there is no reply, as a value: exceptions would arrive wrapped."""

    kind: Literal["model", "call", "long", "lost"]
    sentence: str
    limit: int = 0
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def of(cls, error: ModelError | CallFailed) -> Unanswered:
        """What an exception of a model says."""
        match error:
            case PromptTooLong(limit=limit):
                return cls("long", str(error), limit=limit)
            case ReplyLost(usage=usage):
                return cls("lost", str(error), usage=usage)
            case CallFailed():
                return cls("call", str(error))
            case _:
                return cls("model", str(error))

    def error(self) -> Exception:
        """The exception again."""
        match self.kind:
            case "long":
                return PromptTooLong(self.sentence, self.limit)
            case "lost":
                return ReplyLost(self.sentence, self.usage)
            case "call":
                return CallFailed(self.sentence)
            case _:
                return ModelError(self.sentence)


Answer = Reply | Unanswered
Told = Question | Outcome | None  # None: the paper is done


class Examiner:
    """What a node makes an actor of. Everything that jobs keep here lies in a folder that goes with it."""

    def __init__(self, slots: int, *, alone: bool) -> None:
        self._home = Home.new()
        if alone:
            self._home.take_over()
        self._desk: Desk | None = None
        self._sheets: defaultdict[int, Sheet] = defaultdict(Sheet)

    async def versions(self) -> str:
        """What is installed here."""
        return versions()

    async def open(self, settings: Settings, papers: tuple[Paper, ...]) -> Refusal | None:
        """Get ready for these papers."""
        await aside(probe)  # what it finds is kept for others, so before nothing else is
        os.environ |= {name: str(self._home.folder / name) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
        tests = replace(settings.tests, sandbox="strict")
        exam = Exam(self._home.folder / "exam", replace(settings, tests=tests))
        exam.folder.mkdir()
        try:
            self._desk = await exam.desk(papers)
        except SoaError as error:
            return Refusal(str(error))
        return None

    async def work(self, number: int, paper: Paper) -> Refusal | Unanswered | None:
        """Work on a paper to its end; `told` says meanwhile what comes of it."""
        assert self._desk is not None  # noqa: S101 - opened before
        sheet = self._sheets[number]
        exam = replace(self._desk.exam, access=_Asking(sheet))
        try:
            async with aclosing(replace(self._desk, exam=exam).outcomes(paper)) as outcomes:
                async for outcome in outcomes:
                    sheet.told.put_nowait(outcome)
        except ModelError as error:
            return Unanswered.of(error)
        except SoaError as error:
            return Refusal(str(error))
        finally:
            sheet.told.put_nowait(None)
        return None

    async def told(self, number: int) -> Told:
        """The next thing that work on a paper says, once it does."""
        said = await self._sheets[number].told.get()
        if said is None:
            del self._sheets[number]
        return said

    async def answer(self, number: int, question: int, answer: Answer) -> None:
        """Take the answer to a question; one that nobody waits for is dropped."""
        sheet = self._sheets.get(number)
        waiting = sheet.waiting.get(question) if sheet else None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def close(self) -> None:
        """Leave nothing here."""
        if self._desk is not None:
            await self._desk.close()
        await aside(self._home.remove)


@dataclass(slots=True)
class Sheet:
    """What is said while one paper is worked on, and the questions that wait for an answer."""

    told: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    waiting: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)
    asked: int = 0

    async def ask(self, job: str, prompt: Prompt) -> Reply:
        """Ask whoever gave the paper."""
        self.asked += 1
        number = self.asked
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.told.put_nowait(Question(number, job, prompt))
        try:
            answer = await self.waiting[number]
        except asyncio.CancelledError:
            self.told.put_nowait(Question(number, job, None))
            raise
        finally:
            del self.waiting[number]
        if isinstance(answer, Unanswered):
            raise answer.error()
        return answer


class _Asking(Access):
    """Every job asks by way of the sheet."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        self._sheet = sheet

    def open(self, settings: Settings, key: str | None, job_id: str, waits: object) -> _Asked:
        """The model of one job."""
        return _Asked(self._sheet, job_id)


@dataclass(frozen=True, slots=True)
class _Asked:
    sheet: Sheet
    job: str

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask whoever gave the paper."""
        return await self.sheet.ask(self.job, prompt)

    async def aclose(self) -> None:
        """Nothing is held open here."""
