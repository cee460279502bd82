"""A job without processes: scripted replies, and tests that are expressions on the candidate's module.

The engine, the fold, the protocols, the reading of replies and the assembly are the real ones.
"""

from __future__ import annotations

import asyncio
import doctest
import random
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from soa_agents.models.port import Message, Prompt, Reply, Usage
from soa_agents.settings import Limits
from soa_agents.swarm.actions import Ask, Stop
from soa_agents.swarm.engine import Engine, Ports
from soa_agents.swarm.events import BaselineMeasured, Event, JobStarted, Target
from soa_agents.swarm.fold import replay
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.state import State
from soa_agents.verify.report import Frame, Overlay, Report, Selection, TestResult
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId

PATH = "shop.py"
Script = Mapping[str, Mapping[str, Sequence[str]]]  # function's name -> step -> replies in turn


@dataclass
class Scripted:
    """A model that answers by name and step, the last reply of a list again and again."""

    script: Script
    shuffle: random.Random | None = None
    asked: list[str] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    turns: dict[tuple[str, str], int] = field(default_factory=dict)
    waits: Mapping[str, str] = field(default_factory=dict)  # a call -> the one whose asking it waits for
    begun: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def ask(self, prompt: Prompt) -> Reply:
        name, step = prompt.target.partition("::")[2].rpartition(".")[2], prompt.step
        self.asked.append(f"{name} {step}")
        self.prompts.append(prompt)
        turn = self.turns.get((name, step), 0)
        self.turns[name, step] = turn + 1
        if self.shuffle:
            for _ in range(self.shuffle.randrange(20)):
                await asyncio.sleep(0)
        self.begun[f"{name} {step}"].set()
        if (call := self.waits.get(f"{name} {step}")) is not None:
            await self.begun[call].wait()
        replies = self.script.get(name, {}).get(step, ["Nothing to say."])
        return Reply(replies[min(turn, len(replies) - 1)], usage=Usage(1, 100, 0, 50))


@dataclass
class Expressions:
    """A test runner: node id -> an expression over the candidate's module that must be true."""

    path: str
    text: str
    tests: Mapping[str, str]
    runs: int = 0
    flaky: set[str] = field(default_factory=set)  # tests that fail the first time they meet a candidate
    warm: bool = False  # a test server runs what need not be cold
    red_cold: frozenset[str] = frozenset()  # tests that a candidate passes in a test server only
    refused: str = ""  # why no cold run with a candidate begins

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        self.runs += 1
        await asyncio.sleep(0)
        if self.refused and overlay and tests.cold:
            return Report(problem=self.refused, fault="refused")
        text = overlay.get(self.path, self.text)
        results = [self._test(text, name) for name in tests.tests if name in self.tests]
        results += [self._advice(text, overlay[name]) for name in tests.tests if name in overlay]
        results += [r for f in tests.doctests for r in self._examples(text, f)]
        if self.warm and overlay and not tests.cold:
            return Report(tuple(results), rung="swap")
        red = [replace(r, outcome="failed") if overlay and r.nodeid in self.red_cold else r for r in results]
        return Report(tuple(red))

    def _test(self, text: str, name: str) -> TestResult:
        if name in self.flaky and text != self.text:
            self.flaky.discard(name)
            return TestResult(name, "failed", message="not this time")
        module: dict[str, object] = {}
        ran = tuple(
            f.id for f in functions(self.path, text) if f.id.name in self.tests[name] or "_" in f.id.name
        )
        try:
            exec(compile(text, self.path, "exec"), module)  # noqa: S102 - the tests' own code
            good = eval(self.tests[name], module)  # noqa: S307 - the tests' own code
        except Exception as error:
            stack = traceback.extract_tb(error.__traceback__)[1:]
            frames = tuple(Frame(self.path, f.lineno or 0, f.name) for f in stack if f.filename == self.path)
            return TestResult(name, "failed", message=repr(error), frames=frames, ran=ran)
        return TestResult(name, "passed" if good else "failed", message=f"not {self.tests[name]}", ran=ran)

    def _advice(self, text: str, source: str) -> TestResult:
        module: dict[str, object] = {}
        try:
            exec(text + "\n" + source.replace("from shop import", "# from shop import"), module)  # noqa: S102 - the tests' own
            for name, test in list(module.items()):
                if name.startswith("test_") and callable(test):
                    test()
        except Exception as error:
            return TestResult("advice", "failed", message=repr(error))
        return TestResult("advice", "passed")

    def _examples(self, text: str, function: FunctionId) -> list[TestResult]:
        module: dict[str, object] = {}
        exec(text, module)  # noqa: S102 - the tests' own code
        value = module.get(function.qualname)
        found = (
            doctest.DocTestFinder(recurse=False).find(value, function.qualname, globs=module) if value else []
        )
        results = []
        for test in found:
            ended = doctest.DocTestRunner(verbose=False).run(test, out=lambda said: None)
            outcome = "failed" if ended.failed else "passed"
            results.append(TestResult(f"doctest {function}", outcome, doctest=function))
        return results


class Plain:
    """Prompts that say nothing but target and step; what a model would see is tested elsewhere."""

    def prompt(self, state: State, ask: Ask) -> Prompt:
        progress = state.keys.get(ask.key)
        said = [m for a in (progress.attempts if progress else ()) for m in (a.reply, a.complaint)]
        messages = [Message("user", text) for text in said]
        return Prompt(
            (*messages, Message("user", f"Target: {ask.target}\nStep: {ask.step}")), ask.target, ask.step
        )


@dataclass
class Played:
    """What came of a job."""

    stop: Stop
    state: State
    events: list[Event]
    model: Scripted
    runner: Expressions


def started(
    text: str, tests: Mapping[str, str], roots: Sequence[str], limits: Limits, needs: Mapping[str, str]
) -> JobStarted:
    """The first event of a job on one file; `needs` names for a root another one that it calls."""
    targets = [
        Target(
            f"{PATH}::{root}",
            "generate",
            tuple(tests),
            tuple(tests),
            has_examples=f">>> {root}(" in text,
            needs=(f"{PATH}::{needs[root]}",) if root in needs else (),
            advice="test_soa.py",
        )
        for root in roots
    ]
    stubs = {PATH: {f.id.qualname: str(f.id) for f in functions(PATH, text) if f.is_stub}}
    return JobStarted(
        "job", "generate", "mother_child", tuple(targets), {PATH: text}, stubs, limits, {}, 0, time.time()
    )


async def play(
    protocol: CoordinationProtocol,
    text: str,
    tests: Mapping[str, str],
    script: Script,
    *,
    roots: Sequence[str] = (),
    limits: Limits | None = None,
    shuffle: random.Random | None = None,
    needs: Mapping[str, str] | None = None,
    others: Mapping[str, str] | None = None,
    flaky: frozenset[str] = frozenset(),
    red_cold: frozenset[str] | None = None,
    waits: Mapping[str, str] | None = None,
    refused: str = "",
    heard: Callable[[State, Event], None] = lambda state, event: None,
) -> Played:
    """Run one job on one file to its end. The first function is the target unless `roots` name others.

    `others` are tests that an edit may break; those in `flaky` fail the first time they meet a candidate.
    With `red_cold` a test server tries the candidates, and those tests are red in a cold run only.
    """
    names = tuple(roots) or (functions(PATH, text)[0].id.qualname,)
    runner = Expressions(PATH, text, {**tests, **(others or {})}, flaky=set(flaky))
    runner.warm, runner.red_cold = red_cold is not None or bool(refused), red_cold or frozenset()
    runner.refused = refused
    first = started(text, tests, names, limits or Limits(), needs or {})
    affected = tuple(runner.tests)
    first = replace(first, targets=tuple(replace(t, affected=affected) for t in first.targets))
    asked = Selection(tuple(tests), tuple(FunctionId(PATH, n) for n in names))
    events: list[Event] = [first, BaselineMeasured(await runner.run({}, asked))]
    model = Scripted(script, shuffle, waits=waits or {})
    engine = Engine(protocol, Ports(model, runner, Plain(), events.append, heard), replay(events))
    return Played(await engine.run(), engine.state, events, model, runner)
