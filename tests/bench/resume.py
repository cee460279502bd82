"""Whether a committed reply is ever bought twice, and what going on costs.

    python tests/bench/resume.py [--kills N] [--real] [--seed N] [--json]

Jobs (a Mother, two Children, a red round, then green) run in processes that are killed at random moments,
several times each, until N kills were made. `--real` runs their tests in the sandbox, as a person's job does;
without it they are expressions, so that the kills fall between calls and not into test runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from killable import Mill, answer, bought_twice, events, lay, start
from openai_server import Answer, OpenAIServer
from soa_agents.patch import Patch
from soa_agents.swarm.events import JobEnded, Replied


@dataclass
class Figures:
    """What came of all jobs together."""

    kills: int = 0
    jobs: int = 0
    bought_twice: int = 0  # replies paid for although the same had been committed
    other_ends: int = 0  # jobs that ended otherwise than one that was never killed
    replies: int = 0  # committed
    requests: int = 0  # that reached the server, those in flight at a kill included
    whole_seconds: float = 0.0  # of a job that nobody kills


def measure(kills: int, real: bool, chance: random.Random) -> Figures:
    """Kill jobs until there were that many kills."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        root = lay(Path(folder) / "shop")
        with OpenAIServer(lambda request: slow(answer(request))) as server, Mill(real=real) as mill:
            mill.run(start(root, server.base_url, "first"))  # loads what every later job finds loaded
            began = time.monotonic()
            whole = mill.run(start(root, server.base_url, "whole"))
            assert whole is not None
            figures.whole_seconds = round(time.monotonic() - began, 2)
            before = len(server.requests)
            while figures.kills < kills:
                one(mill, root, server, whole.patch, figures, chance)
            figures.requests = len(server.requests) - before
    return figures


def slow(said: Answer) -> Answer:
    """Replies that take a moment, so that kills meet them in flight."""
    return Answer(said.text, delay=0.02, chunk_delay=0.01)


def one(
    mill: Mill, root: Path, server: OpenAIServer, patch: Patch, figures: Figures, chance: random.Random
) -> None:
    """One job, killed a few times and then left alone."""
    figures.jobs += 1
    job = f"job-{figures.jobs}"
    result = None
    for _ in range(chance.randint(1, 4)):
        known = events(root, job)
        seconds = chance.uniform(0.02, 0.9) * figures.whole_seconds
        result = mill.run(start(root, server.base_url, job, resume=bool(known)), seconds=seconds)
        if result is not None:
            break
        figures.kills += 1
    if result is None:
        known = events(root, job)
        result = mill.run(start(root, server.base_url, job, resume=bool(known)))
    log = events(root, job)
    figures.bought_twice += len(bought_twice(log))
    figures.replies += sum(isinstance(event, Replied) for event in log)
    ended = log[-1] if log else None
    if not isinstance(ended, JobEnded) or ended.patch != patch:
        figures.other_ends += 1
        print(f"{job} ended otherwise: {result and result.update.message}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.kills, options.real, random.Random(options.seed))
    if options.json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            print(f"{name.replace('_', ' '):<16} {value}")
    sys.exit(bool(figures.bought_twice or figures.other_ends))


if __name__ == "__main__":
    main()
