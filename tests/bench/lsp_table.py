"""What `lsp.py` measured, as the table of what was aimed at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
PEERS = ("ruff", "ty", "pyright", "pylsp")


def table(result: Json) -> str:
    """A row for each figure that was measured, the other servers' beside ours."""
    lines = ["| what | goal | ours | others |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in _rows(result)])


def _rows(result: Json) -> Iterator[tuple[str, str, str, str]]:
    if started := result.get("initialize"):
        both = f"{started['soa']} s of CPU; {started['ratio']}"
        yield "`initialize`, CPU over bare pygls", "≤ 1.1", both, f"bare {started['bare']}"
    for tree, found in result["trees"].items():
        yield from ((f"{tree}: {what}", *rest) for what, *rest in _of_tree(found))
    if busy := result.get("busy"):
        asked = f"{busy['p99']} ms ({busy['agents_at_once']} at once)"
        yield "code action while 64 agents run, p99", "≤ 20 ms", asked, ""


def _of_tree(found: Json) -> Iterator[tuple[str, str, str, str]]:
    servers = found["servers"]
    own, again = servers.get("soa", {}), servers.get("soa, second start", {})
    if index := found.get("index"):
        yield "cold index, CPU s for 100,000 lines", "≤ .35", str(index["cpu_100k"]), ""
        yield "cold index, wall", "≤ 3 s (Django)", f"{index['seconds']} s", ""
    if "memory" in own and "memory" in again:
        others = _others(servers, lambda each: each["first"])
        yield (
            "first code action, index not ready; ready",
            "≤ 50 ms",
            f"{own['first']}; {again['first']}",
            others,
        )
        yield "until the map is complete, second start", "≤ .5 s", f"{again['map']['seconds']} s", ""
    if "memory" in own:
        for what, goal, row in (
            ("warm code action, p95", "≤ 1 ms", "warm"),
            ("the same right after the start, p95", "–", "starting"),
            ("key and code action in 3,000 lines, p95", "≤ 5 ms", "keys_3000"),
            ("key and code action in 6,000 lines, p95", "≤ 10 ms", "keys_6000"),
        ):
            each = f"{own[row]['p95']} ms (p50 {own[row]['p50']}, CPU {own[row]['cpu']})"
            yield what, goal, each, _others(servers, lambda each, row=row: each[row]["p95"])
        others = _others(servers, lambda each: each["memory"])
        yield "memory at rest; peak", "≤ 150 MB", f"{own['memory']}; {own['memory_peak']} MB", others
    if listed := found.get("breaks"):
        yield "functions elsewhere listed after a break", "≥ 99.5%", f"{listed['least']:.2%}, each", ""


def _others(servers: Json, value: Any) -> str:
    known = {name: each for name, each in servers.items() if name in PEERS}
    return ", ".join(
        f"{name} {'gave up' if 'gave_up' in each else value(each)}" for name, each in known.items()
    )
