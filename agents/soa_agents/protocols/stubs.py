"""Stubs: one agent turns a docstring into typed stubs; nothing that passed may break by them."""

from __future__ import annotations

from typing import ClassVar

from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.state import State
from soa_agents.verify.report import Selection


class Stubs:
    """One reply, one run of everything affected."""

    name: ClassVar[str] = "stubs"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """Write the stubs, then see that the baseline is unchanged."""
        ask = Ask(f"{state.root}:stubs", state.root, "stubs", state.root)
        done = state.finished(ask.key)
        if done is None:
            return (ask,)
        if done.failed:
            return Stop("failed", done.failed)
        files = candidate.files_of(state.texts, candidate.pieces(state, state.root))
        selection = Selection(state.target.affected, cold=True)
        run = Verify(f"{state.root}:final", files, selection, "candidate", state.root)
        if not state.target.affected:
            return Stop("passed", accepted=(state.root,))
        report = state.report(run.key)
        if report is None:
            return Stop("failed", state.keys[run.key].failed) if state.finished(run.key) else (run,)
        if judge.broken(state, report):
            return Stop("failed", "The new stubs break tests that passed before.")
        return Stop("passed", accepted=(state.root,))
