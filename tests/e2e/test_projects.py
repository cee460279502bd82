"""A person opens a real project, picks "Generate with SoA" or "Regenerate with SoA", and gets a proven edit.

For every case the installed server is driven over stdio as an editor would, against a server that speaks
the OpenAI protocol and answers first wrongly, then rightly. Held after each: the edit applies; the function
is what the right answer said; the project's own tests for it pass in a run of their own; every byte outside
the function is as before, inserted helpers aside; the disk was untouched.
"""

from __future__ import annotations

import ast
import os
import time
from dataclasses import astuple
from pathlib import Path

import pytest
from e2e import rows
from e2e.cases import CASES, Case
from e2e.real_projects import PROJECTS, copy_of, run_tests
from e2e.rows import Row
from e2e.texts import answers, disturbed, expected, place_of, source_of
from lsp_client import VSCODE, Editor, Json
from openai_server import OpenAIServer, scripted

SECONDS = 240  # that one job may take


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", PROJECTS)
async def test_every_function_comes_back_proven(name: str, tmp_path: Path) -> None:
    root = copy_of(name, tmp_path / name)
    cases = [case for case in CASES if case.project == name]
    originals = {case.path: (root / case.path).read_bytes().decode() for case in cases}
    replies: dict[str, dict[str, list[str]]] = {}
    for number, case in enumerate(cases):
        replies |= answers(originals[case.path], case, number)
    found, problems = [], []
    with OpenAIServer(scripted(replies)) as server:
        options = {
            "model": {"name": "test-model", "baseUrl": server.base_url},
            "tests": {"args": list(PROJECTS[name].args)},
        }
        async with Editor([root], capabilities=VSCODE, options=options, env=_environment(tmp_path)) as editor:
            for case in cases:
                row, wrong = await _one(editor, server, root, case, originals[case.path])
                found.append(row)
                print(*astuple(row), *wrong, sep="  ", flush=True)
                problems += [f"{case.function}: {problem}" for problem in wrong]
    rows.keep(name, found)
    print(rows.table(found))
    assert not problems, "\n\n".join(problems)


async def _one(
    editor: Editor, server: OpenAIServer, root: Path, case: Case, original: str
) -> tuple[Row, list[str]]:
    """Disturb, generate, check, restore. Returns the table's row and what went wrong."""
    path = root / case.path
    start = disturbed(original, case)
    if case.saved:
        path.write_bytes(start.encode())
    before = _disk(root)
    asked = len(server.requests)
    began = time.monotonic()
    await editor.open(path, start)
    title = "Regenerate with SoA" if case.broken else "Generate with SoA"
    job = await editor.act(path, _cursor(start, case), title)
    try:
        end = await editor.end(job, SECONDS)
    except TimeoutError:
        end = {"state": f"not within {SECONDS} s", "message": editor.progress[-1:]}
    seconds = time.monotonic() - began
    steps = [request.step for request in server.requests[asked:]]
    problems = [*_ending(end, steps), *_text(start, editor.buffer(path).text, original, case)]
    if _disk(root) != before:
        problems.append(f"the disk changed: {_disk(root) ^ before}")
    path.write_bytes(editor.buffer(path).text.encode())
    code, output = run_tests(case.project, root, case.tests)
    if code != 0:
        problems.append(f"its tests do not pass:\n{output[-1500:]}")
    editor.close(path)
    path.write_bytes(original.encode())
    after = (end.get("tests") or {}).get("after") or {}
    count = sum(after.values())
    return Row(case.project, case.function, count, steps.count("feedback"), len(steps), seconds), problems


def _ending(end: Json, steps: list[str]) -> list[str]:
    """What is wrong with the last `soa/job`."""
    tests = end.get("tests") or {}
    if (end["state"], end.get("verdict")) != ("done", "passed"):
        return [f"ended {end['state']}, {end.get('verdict')}, {steps}: {end.get('message')}"]
    problems = []
    if not tests.get("before", {}).get("failed") or tests["after"]["failed"] or not tests["after"]["passed"]:
        problems.append(f"says of the tests {tests}")
    if "feedback" not in steps or "modify" not in steps:
        problems.append(f"the wrong answer was not caught: {steps}")
    return problems


def _text(start: str, final: str, original: str, case: Case) -> list[str]:
    """What is wrong with the text in the buffer."""
    written, wanted = ast.parse(source_of(final, case.name)), ast.parse(expected(original, case))
    problems = []
    if ast.dump(written) != ast.dump(wanted):
        problems.append(f"the function became:\n{source_of(final, case.name)}")
    outside = [_around(text, case) for text in (start, final)]
    helper = case.helper.name if case.helper else ""
    if outside[0][1] != outside[1][1]:
        problems.append("bytes after the function changed")
    if not _is_insertion(outside[0][0], outside[1][0], helper):
        problems.append("bytes before the function changed")
    return problems


def _around(text: str, case: Case) -> tuple[str, str]:
    place = place_of(text, case.name)
    lines = text.splitlines(keepends=True)
    return "".join(lines[: place.start]), "".join(lines[place.end :])


def _is_insertion(before: str, after: str, helper: str) -> bool:
    """Whether `after` is `before`, with one piece inserted that defines just `helper` when there is one."""
    if not helper:
        return before == after
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    tail = before[same:]
    inserted = after[same : len(after) - len(tail)]
    names = [getattr(node, "name", "?") for node in ast.parse(inserted.strip()).body]
    return after.endswith(tail) and names == [helper]


def _cursor(text: str, case: Case) -> int:
    """Where a person would put the cursor: in the function's `def` line."""
    place = place_of(text, case.name)
    lines = text.splitlines(keepends=True)
    short = case.name.rpartition(".")[2]
    upto = "".join(lines[: place.start])
    return text.index(f"def {short}", len(upto))


def _disk(root: Path) -> set[tuple[str, bytes]]:
    """Every file of the project, as it is on the disk."""
    files = (p for p in root.rglob("*") if p.is_file() and ".venv" not in p.parts)
    return {(str(p.relative_to(root)), p.read_bytes()) for p in files}


def _environment(scratch: Path) -> dict[str, str]:
    """A person's environment without a key, with a home of its own."""
    home = scratch / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TZ")}
    return {**kept, "HOME": str(home)}
