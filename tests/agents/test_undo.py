"""Holds: undoing a job gives the texts before it and keeps what was edited elsewhere; else it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from killable import SHOP, start
from soa_agents.errors import Refused, SoaError, TargetChanged
from soa_agents.jobs.undo import undo
from soa_agents.patch import Edit, Patch, make_edit, make_patch
from soa_agents.settings import Limits
from soa_agents.swarm.events import Applied, Event, JobEnded, JobRequested, JobStarted
from soa_agents.swarm.job import JobUpdate

OLD = "    ...\n"
NEW = "    return sum(map(_line, items))\n"
HELPER = "def _line(item):\n    return item[0] * item[1]\n\n\n"
AT = SHOP.index("def total")
BODY = SHOP.index(OLD)
TESTS = "def test_own():\n    pass\n"
PATCH = make_patch(
    [
        make_edit(SHOP, Edit("shop.py", AT, AT, HELPER, "helper", "_line")),
        make_edit(SHOP, Edit("shop.py", BODY, len(SHOP), NEW, "target", "total")),
    ]
)
OWN_TESTS = make_edit("", Edit("test_soa.py", 0, 0, TESTS, "tests"))
WITH_TESTS = make_patch([*PATCH.edits, OWN_TESTS], ["test_soa.py"])
DONE = PATCH.apply({"shop.py": SHOP})["shop.py"]


def log(patch: Patch, applied: Mapping[str, str] | None = None, rebased: Patch | None = None) -> list[Event]:
    """A job that ended with that patch; `applied` are the texts that a front end wrote it on."""
    job = start_of(patch)
    if applied is not None:
        job.append(Applied(rebased or patch, dict(applied)))
    return job


def start_of(patch: Patch) -> list[Event]:
    asked = start(Path("/shop"), "http://127.0.0.1:9/v1", "job")
    started = JobStarted("job", "generate", "auto", (), {"shop.py": SHOP}, {}, Limits(), {}, seed=0, time=0.0)
    return [JobRequested(asked, 0.0), started, JobEnded(JobUpdate("job", "generate", "", "done"), patch)]


MOVED = "# first\n" + SHOP
SHIFTED = make_patch(
    [make_edit(MOVED, Edit(e.path, e.start + 8, e.end + 8, e.new, e.group, e.function)) for e in PATCH.edits]
)

BACK: dict[str, tuple[list[Event], dict[str, str], dict[str, str]]] = {
    "as it was written": (log(PATCH, {"shop.py": SHOP}), {"shop.py": DONE}, {"shop.py": SHOP}),
    "applied by the person": (log(PATCH), {"shop.py": DONE}, {"shop.py": SHOP}),
    "edited elsewhere": (
        log(PATCH, {"shop.py": SHOP}),
        {"shop.py": f"import os\n{DONE}\n\nMORE = 1\n"},
        {"shop.py": f"import os\n{SHOP}\n\nMORE = 1\n"},
    ),
    "applied on a text that had moved": (
        log(PATCH, {"shop.py": MOVED}, SHIFTED),
        {"shop.py": f"# first\n{DONE}"},
        {"shop.py": MOVED},
    ),
    "with a file of its own": (
        log(WITH_TESTS, {"shop.py": SHOP}),
        {"shop.py": DONE, "test_soa.py": TESTS},
        {"shop.py": SHOP, "test_soa.py": ""},
    ),
}


@pytest.mark.parametrize(("events", "now", "wanted"), BACK.values(), ids=BACK)
def test_what_was_written_is_taken_back(
    events: list[Event], now: dict[str, str], wanted: dict[str, str]
) -> None:
    patch, texts = undo(events, now.get)
    assert patch.apply(texts) == wanted
    assert patch.deleted == tuple(path for path, text in wanted.items() if not text)


REFUSED: dict[str, tuple[list[Event], dict[str, str], type[SoaError]]] = {
    "nothing was written": (log(Patch()), {"shop.py": SHOP}, Refused),
    "never applied": (log(PATCH), {"shop.py": SHOP}, TargetChanged),
    "the function was edited": (
        log(PATCH, {"shop.py": SHOP}),
        {"shop.py": DONE.replace("sum(", "max(")},
        TargetChanged,
    ),
    "a helper was edited": (
        log(PATCH, {"shop.py": SHOP}),
        {"shop.py": DONE.replace("item[0] *", "item[0] +")},
        TargetChanged,
    ),
    "the file is gone": (log(PATCH, {"shop.py": SHOP}), {}, TargetChanged),
    "the new file grew": (
        log(WITH_TESTS, {"shop.py": SHOP}),
        {"shop.py": DONE, "test_soa.py": f"{TESTS}\n\ndef test_more():\n    pass\n"},
        TargetChanged,
    ),
}


@pytest.mark.parametrize(("events", "now", "error"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_as_it_was_written_is_refused(
    events: list[Event], now: dict[str, str], error: type[SoaError]
) -> None:
    with pytest.raises(error) as refused:
        undo(events, now.get)
    assert type(refused.value) is error
    assert "\n" not in str(refused.value)
