"""The report of a job: what came of each function, as values, Markdown and a page that needs nothing else."""

from __future__ import annotations

import re
import time
from pathlib import Path

from agents.playground import PATH, Played, play
from agents.test_protocols import GO_ON, MEAN, MEAN_TESTS, MEAN_WRONG, PLAN, RIGHT, WRONG, block
from soa_agents.jobs import report
from soa_agents.protocols import choose
from soa_agents.settings import Limits, Settings
from soa_agents.swarm.events import Event, JobEnded, JobRequested
from soa_agents.swarm.job import JobUpdate, StartJob, Tally
from soa_agents.swarm.ledger import Ledger

SCRIPT = {
    "total": {
        "plan": [PLAN],
        "skeleton": [WRONG],
        "feedback": ["Multiply."],
        "modify": [RIGHT],
        "judge": [GO_ON],
    },
    "mean": {"skeleton": [MEAN_WRONG], "feedback": ["Divide."], "modify": [MEAN_WRONG], "plan": [PLAN]},
}


def log(played: Played, message: str = "1 of 2 functions.") -> list[Event]:
    """The events as a ledger has them."""
    start = StartJob("job", "fix", (), (), Settings(), {})
    begun = played.events[0]
    ended = JobEnded(JobUpdate("job", "fix", "", "done", "failed", message=message), time=time.time())
    return [JobRequested(start, begun.time - 2), *played.events, ended]  # type: ignore[union-attr]


async def half_done() -> Played:
    """Two functions, of which one is proven."""
    return await play(
        choose("planner_worker"),
        *(MEAN, MEAN_TESTS, SCRIPT),
        roots=("total", "mean"),
        needs={"mean": "total"},
        limits=Limits(rounds=1),
    )


async def test_every_function_has_its_outcome_tests_and_spending() -> None:
    played = await half_done()
    told = report.account(log(played))
    assert told is not None
    total, mean = told.rows
    assert (total.outcome, total.before, total.after) == ("proven", Tally(0, 2), Tally(2, 0))
    assert (mean.outcome, mean.failing[0][0]) == ("not proven", "t::mean")
    assert told.others.usage.calls >= 2  # a planner and a judge
    everything = sum(row.usage.calls for row in (*told.rows, told.others))
    assert everything == played.state.spent.calls
    assert total.green_at is not None and 2 <= total.green_at <= told.seconds
    assert set(told.roles.values()) == {"planner", "judge"}


async def test_the_report_reads_as_markdown_and_as_a_page(tmp_path: Path) -> None:
    told = report.account(log(await half_done()))
    report.write(told, tmp_path / "job.md")
    report.write(told, tmp_path / "job.html")
    text, page = (tmp_path / "job.md").read_text(), (tmp_path / "job.html").read_text()
    assert text.startswith("# soa fix: 1 of 2 functions proven\n")
    assert f"| `{PATH}::total` | proven | 0/2 → 2/2 | 1 |" in text
    assert "## What still fails" in text and "t::mean" in text
    assert "<svg" in page and "What still fails" in page


async def test_a_page_loads_nothing_and_escapes_what_others_wrote() -> None:
    hostile = MEAN_TESTS | {"t::<script>": "total([(1, 1)]) == '<img src=x>'"}
    script = {"total": {"skeleton": [block("def total(items):\n    return 1")], "feedback": ["<b>"]}}
    script["total"]["modify"] = script["total"]["skeleton"]
    told = report.account(log(await play(choose("single"), MEAN, hostile, script), "<i>&"))
    page = report.as_html(told)
    assert not re.search(r"<(?:script|img|i|b|link|iframe)\b|\bsrc=|https?:|url\(|@import", page)
    assert "&lt;i&gt;&amp;" in page


def test_before_the_agents_begin_there_is_nothing_to_tell() -> None:
    assert report.account([JobRequested(StartJob("job", "fix", (), (), Settings(), {}), 1.0)]) is None


async def test_what_is_kept_is_private_and_goes_with_its_job(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    try:
        for event in log(await half_done()):
            ledger.append("job", event)
        page = report.keep(report.account(ledger.events("job")), ledger.reports)
        assert [path.suffix for path in sorted(page.parent.iterdir())] == [".html", ".md"]
        assert {path.stat().st_mode & 0o077 for path in (page, page.parent)} == {0}
        ledger.clear()
        assert list(page.parent.iterdir()) == []
    finally:
        ledger.close()
