"""How a job ended, in the words a person reads. Pure."""

from __future__ import annotations

from soa_agents.models.port import Usage
from soa_agents.swarm.job import JobUpdate, TestsChange
from soa_agents.workspace.ids import FunctionId


def short(number: int) -> str:
    """`5100` as `5.1k`."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 100_000 else f"{number // 1000}k"


def several(number: int, noun: str) -> str:
    """`1 call`, `6 calls`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def name(target: str) -> str:
    """What a person calls the target: a function's name, a file's path."""
    if "::" not in target:
        return target
    function = FunctionId.parse(target)
    return function.path if function.qualname == FunctionId.MODULE else function.qualname


def spent(usage: Usage, agents: int, separator: str = ", ") -> str:
    """`4 agents, 6 calls, 5.1k tokens, $0.02`."""
    parts = [several(agents, "agent")] if agents else []
    parts += [several(usage.calls, "call"), f"{short(usage.tokens)} tokens"]
    if usage.cost_usd is not None:
        parts.append(f"${usage.cost_usd:.2f}")
    return separator.join(parts)


def change(tests: TestsChange) -> str:
    """`tests 0/4 → 4/4`."""
    after = f"{tests.after.passed}/{tests.after.passed + tests.after.failed}"
    if tests.before is None:
        return f"tests {after}"
    return f"tests {tests.before.passed}/{tests.before.passed + tests.before.failed} → {after}"


def ending(update: JobUpdate, agents: int) -> str:
    """One sentence: what the job came to, and what it took."""
    took = f" {spent(update.usage, agents).capitalize()}." if update.usage and update.usage.calls else ""
    if update.message:  # the engine's sentence of a good end says already what it took
        return update.message if update.state == "done" else update.message + took
    what = name(update.target)
    if update.verdict == "untested":
        return f"SoA wrote {what} but no test exercises it.{took}"
    if update.tests is None:
        return f"{what} is done.{took}"
    after, before = update.tests.after, update.tests.before
    earlier = f" ({before.passed} before)" if before else ""
    return f"{what} passes {after.passed} of {after.passed + after.failed} tests{earlier}.{took}"
