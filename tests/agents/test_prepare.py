"""Which of several functions has to be written before which: what their tests tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents.test_map_jobs import opened
from soa_agents.jobs.laboratory import open_laboratory
from soa_agents.jobs.prepare import prepare
from soa_agents.workspace.ids import FunctionId

STUBS = "def describe(words):\n    ...\n\n\ndef parse(line):\n    ...\n\n\ndef count(line):\n    ...\n"
IMPORT = "from texts import count, describe, parse\n\n\n"
INSIDE = f"{IMPORT}def test_describe():\n    assert describe(parse('a b').copy()) == '2 words'\n"
BEHIND = f"{IMPORT}def test_describe():\n    assert describe(['a']) and parse('a b')\n"
APART = f"{BEHIND}\n\ndef test_parse():\n    assert parse('a b') == ['a', 'b']\n"


@pytest.mark.parametrize(
    ("tests", "needs"),
    [(INSIDE, {"describe": "parse"}), (BEHIND, {"parse": "describe"}), (APART, {})],
    ids=["inside", "behind", "apart"],
)
async def test_what_its_tests_stop_at_comes_first(
    tests: str, needs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "texts.py").write_text(STUBS)
    (root / "test_texts.py").write_text(f"{tests}\n\ndef test_count():\n    assert count('a') == 1\n")
    targets = [FunctionId("texts.py", name) for name in ("describe", "parse", "count")]
    place = opened(root, "generate", str(targets[0]))
    prepared = await prepare(place, (await open_laboratory(place, "texts.py")).runner, targets, "single")
    named = {target.function: list(target.needs) for target in prepared.started.targets if target.needs}
    assert named == {f"texts.py::{name}": [f"texts.py::{first}"] for name, first in needs.items()}
