"""Progress of a job of many functions: counts and those at work, not a tree that no screen holds."""

from __future__ import annotations

import io

from rich.console import Console
from soa_agents.models.port import Usage
from soa_agents.swarm.job import AgentState, AgentUpdate, Tally
from soa_server.cli import show

COUNT = 40


def update(number: int, state: AgentState, tests: Tally | None = None) -> AgentUpdate:
    name = f"shop.py::part{number}"
    return AgentUpdate("job", name, state, role="mother", function=name, step="skeleton", tests=tests)


def played(progress: show.Progress) -> None:
    progress.agent(AgentUpdate("job", "plan:0", "done", role="planner", step="plan"))
    for number in range(COUNT):
        progress.agent(update(number, "waiting"))
    progress.spent(Usage(calls=7, input_tokens=1000, output_tokens=500))
    for number in range(3):
        progress.agent(update(number, "asking"))
        progress.agent(update(number, "done"))
        progress.agent(update(number, "testing"))
    progress.agent(update(0, "done", Tally(2, 0)))
    progress.agent(update(1, "done", Tally(1, 1)))
    for number in range(3, COUNT):
        progress.agent(update(number, "asking"))


def test_piped_there_is_a_line_of_counts_whenever_another_one_passes() -> None:
    out = io.StringIO()
    with show.Progress(Console(file=out, width=100, soft_wrap=True)) as progress:
        played(progress)
    (counts,) = [line for line in out.getvalue().splitlines() if " of 40 functions pass" in line]
    assert counts.startswith("1 of 40 functions pass, 2 being tested   7 calls · 1.5k tokens   0 s")


def test_on_a_terminal_it_fits_whatever_the_number_of_functions() -> None:
    out = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    with show.Progress(out) as progress:
        played(progress)
        lines = progress._tree().plain.splitlines()
    assert len(lines) < out.height
    assert "and 22 more" in lines
    assert lines[-1].startswith("1 of 40 functions pass, 37 being written, 1 being tested")
    assert not any("part0 " in line for line in lines)  # it is done
