"""What came of a benchmark, in a file that a later run goes on from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cattrs

from soa_agents import wire
from soa_agents.bench.problems import Problem
from soa_agents.errors import UsageError


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem under one protocol. `solved` is what the official tests say of the code that came out.

    `characters` are those of all functions written, `agents` how many asked the model; `fault` is the
    sentence of a job that had no code to show; `assumed` is what was set otherwise in a simulated model.
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
    assumed: str = ""


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
    assumed: str = ""


class Results:
    """The outcomes so far. Each is in `file`, where one is given, as soon as it is known.

    `about` says whose they are, and stands in the file: model, tests, seed, and `assumption` where the model
    is a simulated one. Raises `UsageError` for a file of others.
    """

    def __init__(self, file: Path | None, about: Mapping[str, object]) -> None:
        self._file = file
        self._about = about
        self._outcomes: dict[tuple[str, str, str], Outcome] = {}
        self._told: list[object] = []  # the same as JSON
        for each in _read(file, about) if file is not None and file.exists() else ():
            self._take(each)

    def _take(self, outcome: Outcome) -> None:
        self._outcomes[outcome.protocol, outcome.problem, outcome.assumed] = outcome
        self._told.append(wire.to_json(outcome))

    def has(self, problem: Problem, protocol: str, assumed: str = "") -> bool:
        """Whether that was run already."""
        return (protocol, problem.id, assumed) in self._outcomes

    def add(self, outcome: Outcome) -> None:
        """One more, written at once."""
        self._take(outcome)
        if self._file is not None:
            told = {
                **self._about,
                "rows": [wire.to_json(row) for row in self.rows()],
                "outcomes": self._told,
            }
            part = self._file.with_name(f"{self._file.name}.part")
            part.write_text(json.dumps(told) + "\n", encoding="utf-8")
            part.replace(self._file)

    def rows(self, protocols: Sequence[str] = (), assumed: Sequence[str] = ()) -> list[Row]:
        """What each of these protocols took under each assumption, in order; by default all."""
        names = protocols or tuple(dict.fromkeys(protocol for protocol, _, _ in self._outcomes))
        sets = assumed or tuple(dict.fromkeys(each for _, _, each in self._outcomes))
        rows = (_row(name, each, self._outcomes.values()) for each in sets for name in names)
        return [row for row in rows if row.problems]


def _row(protocol: str, assumed: str, outcomes: Iterable[Outcome]) -> Row:
    mine = [each for each in outcomes if (each.protocol, each.assumed) == (protocol, assumed)]
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
        assumed=assumed,
    )


def _read(file: Path, about: Mapping[str, object]) -> list[Outcome]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        found = [wire.from_json(each, Outcome) for each in told["outcomes"]]
    except (OSError, ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        raise UsageError(f"{file} holds no outcomes of this benchmark. Name another file.") from error
    theirs = {key: value for key, value in told.items() if key not in ("rows", "outcomes")}
    if theirs != about:
        said, ours = (", ".join(f"{k} {v}" for k, v in each.items()) for each in (theirs, about))
        raise UsageError(f"{file} holds outcomes of {said}, this run is of {ours}. Name another file.")
    return found
