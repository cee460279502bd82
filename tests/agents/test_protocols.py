"""Every protocol on the same work: who is asked what, that it stops in its limits, repeats and survives."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from agents.playground import PATH, Script, play
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.errors import ReplyError, UsageError
from soa_agents.jobs.history import roles
from soa_agents.models.port import Usage
from soa_agents.protocols import TABLE, choose
from soa_agents.protocols.together import accepted_pieces, together
from soa_agents.settings import Limits, Settings
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.events import JobRequested, Replied
from soa_agents.swarm.fold import replay, without_lost_starts
from soa_agents.swarm.job import StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.swarm.replies import choices
from soa_agents.swarm.state import State

STUB = 'def total(items):\n    """The sum of price times count."""\n    raise NotImplementedError\n'
TESTS = {"t::two": "total([(2, 4), (1, 1)]) == 9", "t::none": "total([]) == 0"}
MEAN = STUB + '\n\ndef mean(items):\n    """Total by the number of items."""\n    ...\n'
MEAN_TESTS = {**TESTS, "t::mean": "mean([(2, 3)]) == 6"}
WRITTEN = ("skeleton", "code", "modify")


def block(source: str, head: str = "") -> str:
    return f"{head}```python\n{source}\n```"


def told(value: object) -> str:
    return f"```json\n{json.dumps(value)}\n```"


RIGHT = block("def total(items):\n    return sum(p * n for p, n in items)")
WRONG = block("def total(items):\n    return sum(p + n for p, n in items)")
AS_CHECKER = block("def total(items):\n    return sum(p * n for p, n in items)", "Role: checker\n\n")
MEAN_RIGHT = block("def mean(items):\n    return total(items) / len(items)")
MEAN_WRONG = block("def mean(items):\n    return total(items) / 2")
OUT = "Abstain: it is done."
TWO = told({"roles": [{"agent": 1, "role": "writer"}, {"agent": "Agent 2", "role": "checker"}]})
TAKES_PART, STAYS_OUT = told({"role": "writer", "does": "all of it"}), told({"abstain": "enough of us"})
PLAN = told({"tasks": [{"function": f"{PATH}::mean", "instruction": "Mind the divisor."}], "planners": []})
GO_ON, ENOUGH = (told({"decision": d, "reason": "Because."}) for d in ("go_on", "stop"))

CASES: dict[str, tuple[str, Script, list[str], str]] = {
    "sequential stops at green": ("sequential", {"total": {"code": [RIGHT]}}, ["total code"], "passed"),
    "the next in turn mends what she sees": (
        "sequential",
        {"total": {"code": [WRONG, AS_CHECKER]}},
        ["total code"] * 2,
        "passed",
    ),
    "who abstains is passed over": (
        "sequential",
        {"total": {"code": [OUT, RIGHT]}},
        ["total code"] * 2,
        "passed",
    ),
    "two at a time": ("sequential:4x2", {"total": {"code": [WRONG, RIGHT]}}, ["total code"] * 2, "passed"),
    "all abstain": ("sequential:2", {"total": {"code": [OUT]}}, ["total code"] * 10, "failed"),
    "a coordinator gives roles": (
        "coordinator",
        {"total": {"plan": [TWO], "code": [WRONG, RIGHT]}},
        ["total plan", "total code", "total code"],
        "passed",
    ),
    "who has no role is not asked": (
        "coordinator",
        {"total": {"plan": [told({"roles": [{"agent": 3, "role": "all"}]})], "code": [RIGHT]}},
        ["total plan", "total code"],
        "passed",
    ),
    "a coordinator who hands out nothing is asked again": (
        "coordinator",
        {"total": {"plan": ["All of you.", told({"roles": []}), TWO], "code": [RIGHT]}},
        ["total plan"] * 3 + ["total code"] * 2,
        "passed",
    ),
    "who takes part writes": (
        "broadcast:3",
        {"total": {"intent": [TAKES_PART, STAYS_OUT], "code": [RIGHT]}},
        ["total intent"] * 3 + ["total code"],
        "passed",
    ),
    "nobody takes part": ("broadcast:2", {"total": {"intent": [STAYS_OUT]}}, ["total intent"] * 2, "failed"),
    "shared: all write at once": (
        "shared:3",
        {"total": {"code": [WRONG, WRONG, RIGHT]}},
        ["total code"] * 3,
        "passed",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_who_is_asked_what_and_how_it_ends(case: str) -> None:
    protocol, script, asked, verdict = CASES[case]
    played = await play(choose(protocol), STUB, TESTS, script)
    assert (played.model.asked, played.stop.verdict) == (asked, verdict), played.stop


async def test_the_next_in_turn_hears_what_was_done_and_her_role_is_known() -> None:
    notes: list[str] = []
    script = {"total": {"code": [block("def total(items):\n    return 9", "Role: drafts\n"), AS_CHECKER]}}

    def heard(state: State, event: object) -> None:
        notes.extend(p.action.note for p in state.keys.values() if isinstance(p.action, Ask))

    played = await play(choose("sequential"), STUB, TESTS, script, heard=heard)
    roles = [node.role for node in played.state.nodes.values() if node.is_member]
    assert roles == ["drafts", "checker"]
    assert "1. drafts: 1 of 2 tests pass" in notes[-1]
    assert "return 9" in notes[-1]
    assert "Nobody has written anything yet" in notes[0]


async def test_the_better_of_two_versions_is_kept_and_only_the_right_one_is_offered() -> None:
    half = block("def total(items):\n    return 0")
    for order in ([half, RIGHT], [RIGHT, half]):
        played = await play(choose("shared:2"), STUB, TESTS, {"total": {"code": order}})
        (best,) = played.state.best.values()
        assert "p * n" in best.pieces[0].written.source
        assert best.proven


# -- many functions


async def test_a_planner_tells_the_workers_and_a_judge_stops_what_leads_nowhere() -> None:
    script = {
        "total": {"plan": [PLAN], "skeleton": [RIGHT], "judge": [ENOUGH]},
        "mean": {
            "skeleton": [MEAN_WRONG],
            "feedback": ["Divide."],
            "modify": [MEAN_WRONG],
            "judge": [ENOUGH],
        },
    }
    notes: dict[str, str] = {}

    def heard(state: State, event: object) -> None:
        notes.update({k: p.action.note for k, p in state.keys.items() if isinstance(p.action, Ask)})

    played = await play(
        choose("planner_worker"), MEAN, MEAN_TESTS, script, roots=("total", "mean"), heard=heard
    )
    assert played.stop.verdict == "failed"
    assert played.stop.accepted == (f"{PATH}::total",)
    assert f"- {PATH}::mean: Total by the number of items.\n" in notes["plan:0"]
    assert "Mind the divisor." in notes[f"{PATH}::mean:write0"]
    assert "pass their tests: 1." in notes["judge:0"]
    assert (
        f"{PATH}::mean: with the best version 0 of 1 tests pass; t::mean fails: not mean(" in notes["judge:0"]
    )


async def test_a_cycle_starts_afresh_when_the_judge_says_so() -> None:
    script = {
        "total": {"plan": [PLAN], "skeleton": [RIGHT]},
        "mean": {
            "plan": [PLAN],
            "judge": [GO_ON],
            "skeleton": [MEAN_WRONG, MEAN_RIGHT],
            "feedback": ["Divide."],
            "modify": [MEAN_WRONG],
        },
    }
    script["total"]["judge"] = [GO_ON]
    played = await play(
        choose("planner_worker"), MEAN, MEAN_TESTS, script, roots=("total", "mean"), needs={"mean": "total"}
    )
    assert played.stop.verdict == "passed"
    assert played.model.asked.count("total skeleton") == 1  # what is proven is not written again
    assert played.model.asked.count("mean skeleton") == 2
    assert [a for a in played.model.asked if a.endswith("plan")] == ["total plan", "mean plan"]


@pytest.mark.parametrize(
    ("mean", "skeletons"),
    [
        ({"skeleton": [MEAN_WRONG]}, 2),  # the same code in the second cycle
        ({"skeleton": [f"{MEAN_WRONG[:-4]} + 0\n```", MEAN_WRONG]}, 2),  # the same failures
        ({"skeleton": ["No."]}, 6),  # nothing that could be used: three tries in each of two cycles
    ],
    ids=["code", "failures", "format"],
)
async def test_what_ends_in_the_same_way_again_is_not_begun_anew_whatever_the_judge_says(
    mean: dict[str, list[str]], skeletons: int
) -> None:
    always = {"plan": [PLAN], "judge": [GO_ON]}
    rest = {**always, "feedback": ["Divide."], "modify": [MEAN_WRONG]}
    script = {"total": {**always, "skeleton": [RIGHT]}, "mean": {**rest, **mean}}
    limits = Limits(rounds=5, calls=200)
    played = await play(
        choose("planner_worker"), MEAN, MEAN_TESTS, script, roots=("total", "mean"), limits=limits
    )
    assert (played.stop.verdict, played.stop.accepted) == ("failed", (f"{PATH}::total",))
    assert played.model.asked.count("mean skeleton") == skeletons
    assert [a for a in played.model.asked if a.endswith("judge")] == ["total judge"]


async def test_what_passes_as_it_is_goes_without_what_was_tried_on_it_before() -> None:
    script = {"total": {"code": [RIGHT]}, "mean": {"code": [MEAN_WRONG]}}
    played = await play(choose("single"), MEAN, MEAN_TESTS, script, roots=("total", "mean"))
    total, mean = (f"{PATH}::{name}" for name in ("total", "mean"))
    assert played.state.best[mean].verdict == "failed"
    met = together(played.state, {total: Stop("passed"), mean: Stop("passed")}, 1, frozenset())
    assert met == Stop("passed", accepted=(total, mean))
    assert [str(piece.function) for piece in accepted_pieces(played.state, met.accepted)] == [total]


@pytest.mark.parametrize("name", ["single", "mother_child", "planner_worker"])
async def test_nobody_pays_for_a_last_run_that_never_begins(name: str) -> None:
    always = {"plan": [PLAN], "judge": [GO_ON]}
    script = {
        "total": {**always, "skeleton": [RIGHT], "code": [RIGHT]},
        "mean": {**always, "skeleton": [MEAN_RIGHT], "code": [MEAN_RIGHT]},
    }
    played = await play(
        choose(name),
        *(MEAN, MEAN_TESTS, script),
        roots=("total", "mean"),
        needs={"mean": "total"},
        refused="pytest did not start: no room.",
    )
    assert (played.stop.verdict, played.stop.reason) == ("failed", "pytest did not start: no room.")
    written = [call for call in played.model.asked if not call.endswith("plan")]
    assert [call.partition(" ")[0] for call in written] == ["total", "mean"]


async def test_a_planner_may_call_planners_of_her_own() -> None:
    parts = told({"tasks": [], "planners": [{"scope": PATH, "goal": "All of the shop."}]})
    script = {"total": {"plan": [parts, PLAN], "skeleton": [RIGHT]}, "mean": {"skeleton": [MEAN_RIGHT]}}
    played = await play(
        choose("planner_worker"), MEAN, MEAN_TESTS, script, roots=("total", "mean"), needs={"mean": "total"}
    )
    assert played.stop.verdict == "passed"
    assert played.model.asked[:2] == ["total plan", "total plan"]


def test_roles_of_earlier_jobs_are_found_in_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    try:
        for number, (protocol, role) in enumerate(
            [("shared", "tester"), ("sequential:8", "tester"), ("shared:2", "writer"), ("single", "loner")]
        ):
            start = StartJob(str(number), "generate", (), (), Settings(protocol=protocol), {})
            ledger.append(str(number), JobRequested(start, time.time()))
            reply = Replied("key", f"Role: {role}\n```python\n```", "stop", Usage(), "m")
            ledger.append(str(number), reply)
        assert roles(ledger) == ("tester", "writer")
    finally:
        ledger.close()


# -- what a new protocol takes


class Pair:
    """A protocol as somebody might add it: two agents, the second only if the first one fails."""

    name = "pair"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        from soa_agents.protocols import team

        agents = team.members(state, 2)
        laps = [[agent] for agent in agents]
        return team.turns(state, laps, lambda agent, before: f"{len(before)} before you.")


async def test_a_new_protocol_is_a_few_lines() -> None:
    played = await play(Pair(), STUB, TESTS, {"total": {"code": [WRONG, RIGHT]}})
    assert (played.model.asked, played.stop.verdict) == (["total code"] * 2, "passed")


# -- what holds for all of them

ANYTHING = st.sampled_from(
    ["", "No.", RIGHT, WRONG, OUT, TWO, TAKES_PART, STAYS_OUT, PLAN, GO_ON, ENOUGH, AS_CHECKER, MEAN_RIGHT]
)
STEPS = ("skeleton", "code", "modify", "feedback", "tests", "plan", "intent", "judge")
SCRIPTS = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries({s: st.lists(ANYTHING, min_size=1, max_size=4) for s in STEPS})
        for name in ("total", "mean")
    }
)
LIMITS = st.builds(
    Limits,
    depth=st.integers(1, 3),
    rounds=st.integers(0, 2),
    calls=st.integers(1, 12),
    agents=st.integers(1, 5),
    tokens=st.just(400_000),
    parallel=st.integers(1, 4),
)


class Forgetful:
    """Any protocol, held to say what one of its name says that never saw an earlier state."""

    name = "forgetful"

    def __init__(self, name: str) -> None:
        self._name, self._lasting = name, choose(name)

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        wanted = self._lasting.ready(state)
        assert wanted == choose(self._name).ready(state)
        return wanted


@pytest.mark.parametrize("name", [*TABLE, "auto"])
@settings(max_examples=15)
@given(script=SCRIPTS, limits=LIMITS, seed=st.integers(0, 9))
async def test_it_stops_within_any_limits_whatever_is_replied_and_arrives_when(
    name: str, script: Script, limits: Limits, seed: int
) -> None:
    ends = []
    for shuffle in (None, random.Random(seed)):
        played = await play(
            Forgetful(name), MEAN, MEAN_TESTS, script, roots=("total", "mean"), limits=limits, shuffle=shuffle
        )
        assert sum(isinstance(event, Replied) for event in played.events) <= limits.calls
        assert replay(played.events) == played.state
        ends.append(played.stop.verdict)
        for root in played.stop.accepted:
            assert judge.verdict(played.state.scope(root), played.state.best[root].report) == "passed"
        if played.stop.accepted:
            assert candidate.files_of(played.state.texts, played.state.best[played.stop.accepted[0]].pieces)
    assert all(end in ("passed", "failed", "untested") for end in ends)


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=10)
@given(script=SCRIPTS, cut=st.integers(0, 60))
async def test_a_log_that_breaks_off_anywhere_wants_the_same_again(
    name: str, script: Script, cut: int
) -> None:
    """The state of a cut log, lost starts forgotten, asks for nothing that was answered."""
    limits = Limits(rounds=2, calls=12)
    played = await play(choose(name), MEAN, MEAN_TESTS, script, roots=("total", "mean"), limits=limits)
    events = played.events[: max(2, min(cut, len(played.events)))]
    state = replay(without_lost_starts(events))
    wanted = choose(name).ready(state)
    replied = {event.key for event in events if isinstance(event, Replied)}
    if not isinstance(wanted, Stop):
        again = {action.key for action in wanted if isinstance(action, Ask)}
        finished = {key for key in replied if state.finished(key)}
        assert not again & finished
        assert choose(name).ready(state) == wanted


# -- what agents decide


@pytest.mark.parametrize(
    ("reply", "read", "means"),
    [
        ('Sure:\n```json\n{"role": "a  b", "does": "c"}\n```', choices.intent, choices.Intent("a b", "c")),
        ('{"abstain": "x"}', choices.intent, choices.Intent()),
        ('I go on. {"decision": "go_on"}', choices.goes_on, True),
        (ENOUGH, choices.goes_on, False),
        (TWO, choices.plan, choices.Plan(roles=((1, "writer"), (2, "checker")))),
        (PLAN, choices.plan, choices.Plan((choices.Task(f"{PATH}::mean", "Mind the divisor."),))),
        ('{"tasks": []}', choices.plan, choices.Plan()),
        ("**Role:** *tester*\n```python\nRole: no\n```", choices.role, "tester"),
        ("```python\nx\n```\nRole: late", choices.role, ""),
    ],
)
def test_decisions_are_read_generously(reply: str, read: object, means: object) -> None:
    assert read(reply) == means  # type: ignore[operator]


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("", choices.plan),
        ("[]", choices.plan),
        ('{"tasks": "all"}', choices.plan),
        ('{"tasks": [{"function": 3}]}', choices.plan),
        ('{"tasks": [], "roles": []}', choices.plan),
        ('{"does": "x"}', choices.intent),
        ('{"decision": "maybe"}', choices.goes_on),
        ("{" * 100_000, choices.goes_on),
    ],
)
def test_a_decision_that_cannot_be_read_is_a_complaint(reply: str, read: object) -> None:
    with pytest.raises(ReplyError, match="Send"):
        read(reply)  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["magic", "sequential:0", "sequential:x", "single:4", "shared:4x2", "sequential:4x"]
)
def test_an_unknown_protocol_is_a_sentence(name: str) -> None:
    with pytest.raises(UsageError, match="There is no protocol"):
        choose(name)
