"""What the server says about a job's end, in one sentence each. Pure."""

from __future__ import annotations

from soa_agents.models.port import Usage
from soa_agents.swarm.job import JobUpdate, TestsChange


def finished(update: JobUpdate, name: str, agents: int) -> str:
    """The message of a job that ended well."""
    if update.kind == "runTests":
        return _ran(update.tests, name)
    if update.verdict == "untested":
        return f"SoA wrote {name}, but no test exercises it; look it over.{_cost(update.usage, agents)}"
    return f"{name} {_passes(update.tests)}.{_cost(update.usage, agents)}"


def engine_died(name: str) -> str:
    """The engine's process ended while it worked."""
    return (
        f"SoA's engine stopped unexpectedly while working on {name}; nothing was applied, generate it again."
    )


def interrupted(name: str, step: int) -> str:
    """A job was cut off, by a crash or a kill, and can be resumed."""
    return f"SoA was interrupted at step {step} of {name}; its replies are kept."


def engine_missing(reason: str) -> str:
    """The engine's process could not be started."""
    return f"SoA's engine could not be started ({' '.join(reason.split())}); reinstall soa-language-server."


def cancelled(name: str) -> str:
    """A person cancelled the job."""
    return f"{name} was cancelled, so nothing was applied; generate it again when you want it."


def broken(name: str) -> str:
    """Something inside the server went wrong."""
    return f"SoA failed on {name} by an error of its own; please report it with what the server's log says."


def _passes(tests: TestsChange | None) -> str:
    if tests is None:
        return "is done"
    after, before = tests.after, tests.before
    earlier = f" ({before.passed} before)" if before is not None else ""
    return f"passes {after.passed} of {after.passed + after.failed} tests{earlier}"


def _ran(tests: TestsChange | None, name: str) -> str:
    if tests is None:
        return f"No test exercises {name}."
    passed, failed = tests.after.passed, tests.after.failed
    return f"{name}: {passed} of {passed + failed} tests pass."


def _cost(usage: Usage | None, agents: int) -> str:
    if usage is None or not usage.calls:
        return ""
    parts = [_count(agents, "agent")] if agents else []
    parts += [_count(usage.calls, "call"), f"{_short(usage.tokens)} tokens"]
    parts += [f"${usage.cost_usd:.2f}"] if usage.cost_usd else []
    return " " + ", ".join(parts) + "."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _short(number: int) -> str:
    return f"{number / 1000:.1f}k" if number >= 1000 else str(number)
