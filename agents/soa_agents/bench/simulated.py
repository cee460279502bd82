"""A simulated model: it knows the answers and errs by assumptions. What it solves is no result of any model.

It is there for what does not depend on a model's wits: that runs stop, what they cost, how they scale, that
they repeat. Its replies are a function of the seed, the prompt, and which action of the job asks.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass

from soa_agents.bench.problems import Problem
from soa_agents.bench.splitting import Split, splits
from soa_agents.models import metered
from soa_agents.models.port import Prompt, Reply
from soa_agents.verify.mutations import mutate
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.ids import FunctionId

NAME = "simulated"
_FAILED = "fail with the code as it stands"  # in the prompt of who writes code again by a report
_MAY_CHOOSE = "You choose what you contribute."  # in that of a member of a team
_ROLES = ("author", "author of the edge cases", "reader of the docstring", "checker of the examples")


@dataclass(frozen=True, slots=True)
class Assumptions:
    """How the simulated model errs. Chances are between 0 and 1."""

    wrong_line: float = 0.04  # that a line it writes is wrong: more lines, more errors
    after_feedback: float = 0.4  # what is left of that chance when it is told which tests failed
    broken_format: float = 0.04  # that a reply has to be asked for again
    split: float = 0.5  # that a Mother leaves a part to a Child where that can be done
    abstain: float = 0.3  # that an agent who may choose her part takes none
    latency: float = 0.0  # seconds a reply takes


class SimulatedModel:
    """A `Model` that answers for `problems` by `seed` and `assumptions`."""

    def __init__(
        self, problems: Iterable[Problem], seed: int, assumptions: Assumptions | None = None
    ) -> None:
        self._seed = seed
        self._assume = assumptions or Assumptions()
        self._truth: dict[str, str] = {}
        self._splits: dict[str, Split] = {}
        for problem in problems:
            self._learn(problem)

    async def ask(self, prompt: Prompt) -> Reply:
        """The reply that the seed, the prompt and its key decide."""
        await asyncio.sleep(self._assume.latency)
        chance = random.Random(f"{self._seed}:{prompt.key}:{prompt.digest}")  # noqa: S311 - no secret
        text = self._text(prompt, chance)
        return Reply(text, usage=metered.estimated(prompt, text), model=NAME)

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _learn(self, problem: Problem) -> None:
        found = functions("solution.py", problem.solved())
        own = next(each for each in found if each.id.qualname == problem.entry_point)
        source = dedented(problem.solved(), own)
        self._truth[problem.function] = source
        chance = random.Random(f"{self._seed}:{problem.id}")  # noqa: S311 - as above
        ways = list(splits(source, f"_part_of_{problem.entry_point}"))
        if ways and chance.random() < self._assume.split:
            split = chance.choice(ways)
            self._splits[problem.function] = split
            part = FunctionId(own.id.path, f"_part_of_{problem.entry_point}")
            self._truth[str(part)] = split.helper

    def _text(self, prompt: Prompt, chance: random.Random) -> str:
        match prompt.step:
            case "skeleton" | "code" | "modify":
                return self._written(prompt, chance)
            case "feedback":
                return "A value in it is not what the tests expect. Follow the failing call through the code."
            case "tests":
                name = prompt.target.rpartition("::")[2]
                return _block(f"from solution import {name}\n\n\ndef test_it():\n    assert callable({name})")
            case _:
                return self._chosen(prompt, chance)

    def _written(self, prompt: Prompt, chance: random.Random) -> str:
        told = "\n".join(message.content for message in prompt.messages if message.role == "user")
        if chance.random() < self._assume.broken_format:
            return "I would write it in three steps."
        role = ""
        if _MAY_CHOOSE in told:
            if chance.random() < self._assume.abstain:
                return "Abstain: others do it."
            role = f"Role: {chance.choice(_ROLES)}\n\n"
        source, stubs = self._source(prompt)
        wrong = 1 - (1 - self._assume.wrong_line) ** max(1, source.count("\n"))
        if prompt.step == "modify" or _FAILED in told:
            wrong *= self._assume.after_feedback
        if chance.random() < wrong:
            source = mutate(source, 1, chance, helpers=False) or source
        return role + _block(source + stubs)

    def _source(self, prompt: Prompt) -> tuple[str, str]:
        """What it knows of the target, and the stubs that go with it where a part is left to a Child."""
        split = self._splits.get(prompt.target)
        if split is None or prompt.step == "code":
            return self._truth.get(prompt.target, ""), ""
        return split.caller, f"\n\n\n{split.stub}" if prompt.step == "skeleton" else ""

    def _chosen(self, prompt: Prompt, chance: random.Random) -> str:
        if prompt.step == "judge":
            return _json({"decision": "go_on", "reason": "Tests are still red."})
        if prompt.step == "intent":
            stays_out = chance.random() < self._assume.abstain
            return _json(
                {"abstain": "Others do it."}
                if stays_out
                else {"role": chance.choice(_ROLES), "does": "A version of the function."}
            )
        tasks = [{"function": prompt.target, "instruction": "Write it."}]
        roles = [{"agent": number, "role": role} for number, role in enumerate(_ROLES, 1)]
        return _json({"tasks": tasks, "planners": [], "roles": roles})


def _block(source: str) -> str:
    return f"```python\n{source}\n```"


def _json(value: object) -> str:
    return f"```json\n{json.dumps(value)}\n```"
