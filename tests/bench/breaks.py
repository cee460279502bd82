"""How many functions elsewhere in a file are still listed, as they were, when one place of it is broken.

    python tests/bench/breaks.py FOLDER [FILES]        60 files by default, of 100 lines or more

Each break of `tests/agents/test_live.py` is typed into a function in the middle of the file: while the file
is followed, and as the first text that is seen of it.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "agents"))

from soa_agents.workspace.functions import Function
from soa_agents.workspace.live import Live, followed, opened
from test_live import BREAKS


def listed(live: Live, text: str, chosen: Function | None = None) -> set[tuple[str, str]]:
    """The functions by name and text; those that hold the chosen one are left out."""
    return {
        (each.id.qualname, text[each.span.start : each.span.end])
        for each in live.functions
        if chosen is None or not each.span.start <= chosen.span.start <= each.span.end
    }


Means = dict[str, dict[str, float]]  # what was typed, or opened -> the break -> the share still listed


def broken(root: Path, count: int = 60) -> tuple[Means, dict[str, float]]:
    """The shares, and the processor time of one break in the mean, ms."""
    known = sorted(p for p in root.rglob("*.py") if p.read_bytes().count(b"\n") >= 100)
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    for path in random.Random(7).sample(known, min(count, len(known))):
        text = path.read_text("utf-8")
        whole = opened("a.py", text)
        if len(whole.functions) < 2:
            continue
        chosen = whole.functions[len(whole.functions) // 2]
        wanted = listed(whole, text, chosen)
        at = text.find("\n", chosen.signature.end) + 1
        for name, line in BREAKS.items():
            broken = f"{text[:at]}{line}\n{text[at:]}"
            for how, read in (
                ("typed", lambda b, w=whole: followed(w, b)),
                ("opened", lambda b: opened("a.py", b)),
            ):
                start = time.process_time()
                live = read(broken)
                spent[how] += time.process_time() - start
                found = listed(live, broken)
                shares[name, how].append(len(wanted & found) / len(wanted) if wanted else 1.0)
    means: Means = {"typed": {}, "opened": {}}
    for (name, how), each in shares.items():
        means[how][name] = sum(each) / len(each)
    turns = sum(len(each) for each in shares.values()) / 2
    return means, {how: seconds / turns * 1000 for how, seconds in spent.items()}


def main() -> None:
    means, mean = broken(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    for name in BREAKS:
        print(f"{name:<18} typed {means['typed'][name]:8.2%}   opened {means['opened'][name]:8.2%}")
    print(f"CPU ms a break: typed {mean['typed']:.1f}, opened {mean['opened']:.1f}")


if __name__ == "__main__":
    main()
