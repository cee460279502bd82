"""The work queue of a benchmark over a cluster: papers go to nodes, their questions to a model come back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from soa_agents.bench.examiner import Answer, Examiner, Question, Unanswered
from soa_agents.bench.humaneval import Exam, Paper
from soa_agents.bench.results import Outcome
from soa_agents.errors import CallFailed, ModelError, Refused
from soa_agents.models.port import OpenModel, Prompt, Reply
from soa_agents.remote.cluster import Cluster, Far, NodeLost
from soa_agents.remote.node import Refusal
from soa_agents.remote.pool import TRIES, Pool

_numbers = itertools.count()


@dataclass(slots=True)
class AwayDesk:
    """Writes and judges papers on the nodes of a cluster, as a `Desk` does here."""

    exam: Exam
    pool: Pool

    @classmethod
    async def open(cls, exam: Exam, papers: Sequence[Paper]) -> AwayDesk:
        """A desk for these papers. Raises `UsageError` or `Refused` when the cluster cannot do it."""
        exam.say(f"joining the cluster at {exam.ray}")
        pool = Pool(await Cluster.connect(exam.ray, Examiner), exam.say)
        all_papers = tuple(papers)
        digest = hashlib.sha256(repr(all_papers).encode()).hexdigest()

        async def prepare(node: Far) -> str:
            sent = pool.cluster.sent(digest, all_papers)
            refusal = await node.call("open", exam.settings, sent)
            return refusal.sentence.rstrip(".") if isinstance(refusal, Refusal) else ""

        try:
            await pool.open(prepare)
        except BaseException:
            await pool.close()
            raise
        return cls(exam, pool)

    @property
    def at_once(self) -> int:
        """How many papers the cluster takes."""
        return self.pool.at_once

    async def outcomes(self, paper: Paper) -> AsyncGenerator[Outcome, None]:
        """What comes of the paper's problem under each of its protocols; what a lost node ran begins anew.

        Raises `ModelError` when nobody answers, and `Refused` when no node is left.
        """
        left, paid = list(paper.protocols), _Paid()
        for _ in range(TRIES):
            async with self.pool.node() as node:
                if node is None:
                    break
                try:
                    sheet = _Sheet(self.exam, node, Paper(paper.problem, tuple(left)), paid)
                    async with aclosing(sheet.outcomes()) as outcomes:
                        async for outcome in outcomes:
                            left.remove(outcome.protocol)
                            yield outcome
                    return
                except NodeLost:
                    await self.pool.drop(node, f"{node.name} is gone; what ran there is run again")
        raise Refused(
            f"No node of the cluster came back from {paper.problem.id}. What was done is kept; "
            "the same command goes on with the rest."
        )

    async def close(self) -> None:
        """Leave the cluster, and nothing on its nodes."""
        await self.pool.close()


@dataclass(slots=True)
class _Paid:
    """Replies to a paper's questions: asked again by a job that begins anew, they are not bought again."""

    replies: dict[tuple[str, str, str], Reply] = field(default_factory=dict)

    async def ask(self, model: OpenModel, job: str, prompt: Prompt) -> Answer:
        """The reply, bought or had; why there is none."""
        key = (job, prompt.digest, prompt.key)
        if key not in self.replies:
            try:
                self.replies[key] = await model.ask(prompt)
            except (ModelError, CallFailed) as error:
                return Unanswered.of(error)
        return self.replies[key]


@dataclass(slots=True)
class _Sheet:
    """One paper on one node."""

    exam: Exam
    node: Far
    paper: Paper
    paid: _Paid
    number: int = field(default_factory=lambda: next(_numbers))
    _asking: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """What comes of it, while the model is asked from here. Raises `NodeLost`."""
        exam, name = self.exam, self.paper.problem.function
        model = exam.access.open(exam.settings, exam.key, name, lambda _: None)
        work = asyncio.ensure_future(self.node.call("work", self.number, self.paper, name=name))
        try:
            while (told := await self.node.call("told", self.number)) is not None:
                if isinstance(told, Outcome):
                    yield told
                else:
                    self._take(model, told)
            _check(await work)
        finally:
            tasks = [work, *self._asking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await model.aclose()

    def _take(self, model: OpenModel, question: Question) -> None:
        if question.prompt is not None:
            asking = self._ask(model, question, question.prompt)
            self._asking[question.number] = asyncio.ensure_future(asking)
        elif (task := self._asking.get(question.number)) is not None:
            task.cancel()

    async def _ask(self, model: OpenModel, question: Question, prompt: Prompt) -> None:
        answer = await self.paid.ask(model, question.job, prompt)
        with contextlib.suppress(NodeLost):
            await self.node.call("answer", self.number, question.number, answer)


def _check(ended: Refusal | Unanswered | None) -> None:
    """Raises what ended work on a paper before its time."""
    if isinstance(ended, Unanswered):
        raise ModelError(ended.sentence)
    if isinstance(ended, Refusal):
        raise Refused(ended.sentence)
