"""What came of a benchmark, in a file that a later run goes on from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cattrs

from soa_agents import wire
from soa_agents.bench.problems import Problem
from soa_agents.errors import UsageError


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem under one protocol. `solved` is what the official tests say of the code that came out.

    `characters` are those of all functions written, `agents` how many were at work; `fault` is the sentence
    of a job that had no code to show.
    """

    protocol: str
    problem: str
    solved: bool
    seconds: float
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    agents: int = 0
    characters: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One protocol's outcomes, added up."""

    protocol: str
    problems: int
    solved: int
    calls: int
    input_tokens: int
    output_tokens: int
    agents: int
    characters: int
    seconds: float


class Results:
    """The outcomes so far. Each is in `file`, where one is given, before the next is begun.

    `assumption` marks outcomes of the simulated model. Raises `UsageError` for a file that holds others.
    """

    def __init__(self, file: Path | None, *, assumption: bool) -> None:
        self._file = file
        self._assumption = assumption
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        for each in _read(file, assumption) if file is not None and file.exists() else ():
            self._outcomes[each.protocol, each.problem] = each

    def has(self, problem: Problem, protocol: str) -> bool:
        """Whether that was run already."""
        return (protocol, problem.id) in self._outcomes

    def add(self, outcome: Outcome) -> None:
        """One more, written at once."""
        self._outcomes[outcome.protocol, outcome.problem] = outcome
        if self._file is not None:
            names = tuple(dict.fromkeys(protocol for protocol, _ in self._outcomes))
            told: dict[str, object] = {"assumption": True} if self._assumption else {}
            told["rows"] = [wire.to_json(row) for row in self.rows(names)]
            told["outcomes"] = [wire.to_json(each) for each in self._outcomes.values()]
            part = self._file.with_name(f"{self._file.name}.part")
            part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            part.replace(self._file)

    def rows(self, protocols: Sequence[str]) -> list[Row]:
        """What each of these protocols took, in their order."""
        return [row for name in protocols if (row := self._row(name)).problems]

    def _row(self, protocol: str) -> Row:
        mine = [each for each in self._outcomes.values() if each.protocol == protocol]
        return Row(
            protocol=protocol,
            problems=len(mine),
            solved=sum(each.solved for each in mine),
            calls=sum(each.calls for each in mine),
            input_tokens=sum(each.input_tokens for each in mine),
            output_tokens=sum(each.output_tokens for each in mine),
            agents=sum(each.agents for each in mine),
            characters=sum(each.characters for each in mine),
            seconds=round(sum(each.seconds for each in mine), 3),
        )


def _read(file: Path, assumption: bool) -> list[Outcome]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        found = [wire.from_json(each, Outcome) for each in told["outcomes"]]
    except (OSError, ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        raise UsageError(f"{file} holds no outcomes of this benchmark. Name another file.") from error
    if bool(told.get("assumption")) != assumption:
        raise UsageError(f"{file} mixes a simulated model with a real one. Name another file.")
    return found
