"""How a job ends, as a person reads it: state, verdict, tests before and after, a sentence, what to apply."""

from __future__ import annotations

from dataclasses import dataclass, replace

from soa_agents.errors import ModelError, Refused, SoaError, UsageError
from soa_agents.jobs.flags import flagged
from soa_agents.jobs.narrate import tally
from soa_agents.models.port import Usage
from soa_agents.patch import Patch
from soa_agents.protocols.together import accepted_pieces
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Stop
from soa_agents.swarm.job import JobResult, JobState, JobUpdate, StartJob, TestsChange
from soa_agents.swarm.state import State
from soa_agents.verify.report import Report, TestResult
from soa_agents.verify.screen import Flag
from soa_agents.workspace.ids import FunctionId

_NAMED = 5  # functions that one sentence names
EXIT_FAILED, EXIT_USAGE, EXIT_MODEL, EXIT_CANCELLED = 1, 2, 3, 130


@dataclass(frozen=True, slots=True)
class Measured:
    """What the tests said of everything the job was about."""

    proof_before: tuple[TestResult, ...]
    proof_after: tuple[TestResult, ...]
    examples: tuple[TestResult, ...]
    advice: Report | None

    @property
    def change(self) -> TestsChange:
        """Counted tests before and after; a function without tests is counted by its docstring examples."""
        if not self.proof_after and self.examples:
            return TestsChange(tally(self.examples), None)
        return TestsChange(tally(self.proof_after), tally(self.proof_before))


def refused(start: StartJob, error: SoaError, usage: Usage | None = None) -> JobResult:
    """A job that must not start, or a model that nobody can reach."""
    unreachable = isinstance(error, ModelError)
    state: JobState = "refused" if isinstance(error, Refused | UsageError) else "failed"
    update = JobUpdate(
        job_id=start.job_id,
        kind=start.kind,
        target=_target(start),
        state=state,
        usage=usage,
        message=_line(str(error)),
    )
    exit_code = EXIT_MODEL if unreachable else EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    return JobResult(update, exit_code=exit_code, refusal=type(error).__name__)


def cancelled(start: StartJob, state: State | None) -> JobResult:
    """A job the person cancelled; what was best by then is kept to look at."""
    calls = state.spent.calls if state else 0
    kept = f" after {calls} model call{'s' * (calls > 1)}" if calls else ""
    result = JobResult(
        JobUpdate(
            job_id=start.job_id,
            kind=start.kind,
            target=_target(start),
            state="cancelled",
            usage=state.spent if state else None,
            message=f"Cancelled{kept}; nothing was changed. Start it again when you want it.",
        ),
        exit_code=EXIT_CANCELLED,
    )
    return with_best(result, state) if state else result


def with_best(result: JobResult, state: State) -> JobResult:
    """The same ending, with the best candidate so far to look at where it changes anything."""
    patch = _best(state)
    return replace(result, patch=patch, texts=dict(state.job.texts), offer="keep") if patch.edits else result


def _best(state: State) -> Patch:
    """The best candidates of all targets; empty where that leaves every text as it was."""
    tried = (state.best.get(target.function) for target in state.job.targets)
    pieces = tuple(piece for best in tried if best for piece in best.pieces)
    texts = dict(state.job.texts)
    patch = candidate.patch_of(texts, pieces) if pieces else Patch()
    changes = any(text != texts.get(path) for path, text in patch.apply(texts).items())
    return patch if changes else Patch()


def ended(start: StartJob, state: State, stop: Stop) -> JobResult:
    """The ending of a job whose protocol, or one of its limits, stopped it."""
    texts = dict(state.job.texts)
    pieces = accepted_pieces(state, stop.accepted)
    if start.kind == "stubs" and stop.accepted:
        pieces = candidate.pieces(state, state.root)
    if not pieces:
        return with_best(_failure(start, state, stop), state)
    patch = candidate.patch_of(texts, pieces)
    flags = flagged(texts, patch)
    measured = measure(state, stop.accepted)
    if stop.verdict == "untested" and measured.advice is not None and len(state.job.targets) == 1:
        patch = candidate.with_advice(patch, state.target.advice, state.keys[f"{state.root}:tests"].text)
    reason = _preview_reason(state, stop, patch, flags)
    update = JobUpdate(
        job_id=start.job_id,
        kind=start.kind,
        target=_target(start),
        state="done",
        verdict=stop.verdict,
        flags=flags,
        tests=measured.change if start.kind != "stubs" else None,
        usage=state.spent,
        message=_sentence(start, state, stop, measured, flags),
    )
    part = stop.verdict == "failed" or bool(flags)
    return JobResult(
        update=update,
        patch=patch,
        texts=texts,
        offer="preview" if reason else "apply",
        preview_reason=reason,
        passing=tuple(r.nodeid for r in measured.proof_after if r.passed),
        exit_code=EXIT_FAILED if part else 0,
    )


def measure(state: State, roots: tuple[str, ...]) -> Measured:
    """The counted tests of these roots, each named once."""
    before: dict[str, TestResult] = {}
    after: dict[str, TestResult] = {}
    shown: list[TestResult] = []
    together, last = judge.last_together(state)
    for root in roots:
        best = state.best.get(root)
        if best is None:
            continue
        scope = state.scope(root)
        proof = judge.counted(scope, best.report)
        after.update({r.nodeid: r for r in proof})
        names = {r.nodeid for r in proof}
        before.update({r.nodeid: r for r in state.baseline.tests if r.nodeid in names})
        missing = names - set(before)  # it could not even be collected before
        before.update({name: TestResult(name, "error") for name in missing})
        shown += judge.examples(scope, last if last and root in together else best.report)
    return Measured(
        tuple(before.values()), tuple(after.values()), tuple(shown), state.report(f"{state.root}:advice")
    )


def _preview_reason(state: State, stop: Stop, patch: Patch, flags: tuple[Flag, ...]) -> str:
    if stop.verdict == "untested":
        return "No test exercises it."
    if flags:
        return "It passes its tests but holds code that can fool them."
    targets = {FunctionId.parse(t.function).path for t in state.job.targets}
    if {edit.path for edit in patch.edits} - targets:
        return "It also writes functions in other files."
    return ""


def _failure(start: StartJob, state: State, stop: Stop) -> JobResult:
    measured = measure(state, tuple(t.function for t in state.job.targets))
    tests = measured.change if measured.proof_after or measured.examples else None
    update = JobUpdate(
        job_id=start.job_id,
        kind=start.kind,
        target=_target(start),
        state="failed",
        verdict="failed",
        tests=tests,
        usage=state.spent,
        message=_line(_red(start, state, stop, measured)),
    )
    return JobResult(update, exit_code=EXIT_FAILED)


def _red(start: StartJob, state: State, stop: Stop, measured: Measured) -> str:
    name = _named(start, state)
    shown = measured.proof_after or measured.examples
    if not shown:
        return f"SoA got no usable code for {name}. {stop.reason or 'Try again, or another model.'}"
    count = tally(shown)
    rounds = max(
        (key.count(":trial") and int(key.rpartition(":r")[2].partition(":")[0])) for key in state.keys
    )
    still = next((r for r in shown if not r.passed), None)
    look = "Look at the best diff, or try again."
    if not _best(state).edits:
        look = f"The model left {'it as it was' if len(state.job.targets) == 1 else 'them as they were'}. "
        look += "Try again, or another model."
    failing = f" Still failing: {_test_name(still)}: {_first(still.message)}." if still else ""
    return (
        f"SoA got {name} to {count.passed} of {count.passed + count.failed} tests in "
        f"{rounds} {'round' if rounds == 1 else 'rounds'}.{failing} {stop.reason}{_asides(state)} "
        f"{look}"
    )


def _sentence(start: StartJob, state: State, stop: Stop, measured: Measured, flags: tuple[Flag, ...]) -> str:
    name = _named(start, state)
    if start.kind == "stubs":
        stubs = state.nodes[state.root].written
        count = len(stubs.helpers) if stubs else 0
        what = "stub" if count == 1 else "stubs"
        return f"{name}: {count} {what} written from the docstring. {spending(state)}"
    if flags:
        said = f"The result passes its tests but {flags[0].why} (line {flags[0].line})"
        return f"{said}, which can fool them. Review it."
    if stop.verdict == "untested":
        if len(state.job.targets) > 1:
            return _line(_untested_of_several(stop.accepted, _asides(state)))
        return _line(_untested(name, measured, _in_the_way(state) + _asides(state)))
    written = [root for root in stop.accepted if state.is_written(root)]
    wanted = len(state.job.targets) - (len(stop.accepted) - len(written))
    name = short(written[0]) if wanted == 1 else f"{len(written)} of {wanted} functions"
    after = tally(measured.proof_after or measured.examples)
    before = tally(measured.proof_before)
    verb = "passes" if wanted == 1 else "pass"
    what = "tests" if measured.proof_after else "docstring examples"
    were = f" ({before.passed} before)" if measured.proof_after else ""
    wrong = [r for r in measured.examples if not r.passed] if measured.proof_after else []
    note = f" A docstring example still fails: {_first(wrong[0].message)}." if wrong else ""
    left = [short(t.function) for t in state.job.targets if t.function not in stop.accepted]
    note += f" Not proven, so not in the edit: {_listed(left)}." if left else ""
    note += _asides(state)
    return _line(
        f"{name} {verb} {after.passed} of {after.passed + after.failed} {what}{were}.{note} "
        f"{stop.reason} {spending(state)}"
    )


def _asides(state: State) -> str:
    """What else a person has to know of the tests: flaky ones, and those that need the network."""
    reports = (state.best[root].report for root in state.best)
    names = [r.nodeid.rpartition("::")[2] for report in reports for r in report.tests if r.offline]
    verb = "needs" if len(names) == 1 else "need"
    offline = f" {_listed(names)} {verb} the network and did not count." if names else ""
    return _flaky(state) + offline


def _flaky(state: State) -> str:
    names = [name.rpartition("::")[2] for name in judge.flaky(state)]
    if not names:
        return ""
    verb, once = ("are", "they failed") if len(names) > 1 else ("is", "it failed")
    return f" {_listed(names)} {verb} flaky: {once} once and passed when run again."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _in_the_way(state: State) -> str:
    """What keeps a test that should reach the target from coming so far, or nothing."""
    best = state.best.get(state.root)
    told = best.report.tests if best else ()
    red = (r for r in told if not r.passed and not r.offline and r.nodeid in state.target.tests)
    stopped = next(red, None)
    if stopped is None:
        at_import = best is not None and FunctionId.parse(state.root) in best.report.imported
        return " It runs while modules are imported, where no test is seen to run it." if at_import else ""
    marked = [line for line in stopped.message.splitlines() if line.startswith("E ")]
    return f" {stopped.nodeid} stops before it: {_first(marked[-1] if marked else stopped.message)}."


def _untested_of_several(written: tuple[str, ...], asides: str) -> str:
    """Of a job with several functions: tests that agents wrote for them are not shown."""
    if len(written) == 1:
        return (
            f"SoA wrote {short(written[0])} but no test exercises it.{asides} Review it before you keep it."
        )
    said = f"SoA wrote {len(written)} functions but no test exercises them.{asides}"
    return f"{said} Review them before you keep them."


def _untested(name: str, measured: Measured, in_the_way: str) -> str:
    said = f"SoA wrote {name} but no test exercises it.{in_the_way}"
    if measured.advice is None or not measured.advice.tests:
        return f"{said} Review it before you keep it."
    own = tally(measured.advice.tests)
    count = f"{own.passed} of {own.passed + own.failed}"
    return f"{said} {count} of SoA's own tests pass. Review it before you keep it."


def spending(state: State) -> str:
    """`4 agents, 6 calls, 5.1k tokens.`, with the cost where it is known."""
    agents = sum(1 for t in state.job.targets for _ in state.family(t.function))
    spent = state.spent
    tokens = f"{spent.tokens / 1000:.1f}k tokens" if spent.tokens >= 1000 else f"{spent.tokens} tokens"
    cost = f", {spent.cost_usd:.4f} US dollars" if spent.cost_usd else ""
    return (
        f"{agents} {'agent' if agents == 1 else 'agents'}, "
        f"{spent.calls} {'call' if spent.calls == 1 else 'calls'}, {tokens}{cost}."
    )


def short(target: str) -> str:
    """What a person calls the target: the function's name, the module's file."""
    path, _, qualname = target.partition("::")
    return qualname if qualname and qualname != FunctionId.MODULE else path or "the workspace"


def _named(start: StartJob, state: State) -> str:
    """What the job was about: its one function, even where a file or the workspace was named."""
    targets = state.job.targets
    return short(targets[0].function if len(targets) == 1 else _target(start))


def _target(start: StartJob) -> str:
    return start.targets[0] if start.targets else ""


def _test_name(result: TestResult) -> str:
    return result.nodeid.rpartition("::")[2]


def _first(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0].removeprefix("E ").strip().rstrip(".")[:160] if lines else "no message"


def _line(text: str) -> str:
    return " ".join(text.split())
