"""Check the cases themselves: their tests pass on the original and fail on everything disturbed or wrong.

    python tests/e2e/check_cases.py [PROJECT]…

The end-to-end tests imply it; this says it without the product, when a case is written or a pin is moved.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.cases import CASES, Case
from e2e.real_projects import PROJECTS, copy_of, run_tests
from e2e.texts import answers, changed, disturbed, place_of, source_of


def stages(text: str, case: Case) -> dict[str, tuple[bool, str]]:
    """The file's texts by name, each with whether the case's tests are to pass on it."""
    found = {"original": (True, text), "disturbed": (False, disturbed(text, case))}
    right = source_of(text, case.name)
    if case.helper is None:
        found["wrong"] = (False, _with(text, case, changed(right, case.wrong)))
    else:
        mother = changed(right, case.helper.mother)
        found["wrong helper"] = (False, _with(text, case, mother, case.helper.wrong))
        found["right helper"] = (True, _with(text, case, mother, case.helper.right))
    assert answers(text, case, 0)
    return found


def check(case: Case, root: Path) -> list[str]:
    """What is wrong with a case."""
    path = root / case.path
    original = path.read_bytes().decode()
    problems = []
    for name, (passes, text) in stages(original, case).items():
        path.write_bytes(text.encode())
        began = time.monotonic()
        code, output = run_tests(case.project, root, case.tests)
        took = time.monotonic() - began
        if code != (0 if passes else 1) or took > 10:
            problems.append(f"{case.function}, {name}: exit code {code} after {took:.1f} s\n{output[-600:]}")
    path.write_bytes(original.encode())
    return problems


def _with(text: str, case: Case, source: str, helper: str = "") -> str:
    """The file with another source for the function, and a helper at its end."""
    place = place_of(text, case.name)
    lines = text.splitlines(keepends=True)
    new = "".join(place.indent + line if line.strip() else line for line in (source + "\n").splitlines(True))
    return "".join([*lines[: place.start], new, *lines[place.end :], f"\n\n{helper}\n" if helper else ""])


def main(names: list[str]) -> int:
    """Check the cases of the projects named, or all."""
    bad = 0
    for name in names or PROJECTS:
        with tempfile.TemporaryDirectory() as scratch:
            root = copy_of(name, Path(scratch) / name)
            for case in (c for c in CASES if c.project == name):
                problems = check(case, root)
                bad += bool(problems)
                print("!!" if problems else "ok", case.function, *problems, sep="  ", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
