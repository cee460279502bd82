"""Holds: on a machine without a sandbox, made so by its kernel, a job is refused with one sentence; the
person is asked once, and only an Allow has it run unprotected. The command line refuses, and doctor says why.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import environment
from lsp_bench import Bench
from openai_server import OpenAIServer, scripted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is none anyway")

STUB = 'def total(prices):\n    """The sum of all prices."""\n    raise NotImplementedError\n'
WRITTEN = STUB.replace("raise NotImplementedError", "return sum(prices)")
TEST = "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
DENIED = """
import sys
from soa_agents.verify import kernel
kernel.seccomp([kernel.Rule("unshare"), kernel.Rule("landlock_create_ruleset", 38)])
"""
SERVE = DENIED + "from soa_server.lsp.serve import serve_stdio; sys.exit(serve_stdio())"
SOA = DENIED + "from soa_server.cli.main import main; main()"


async def test_a_person_is_asked_and_an_allow_is_heeded(bench: Bench) -> None:
    bench.shop.write_text(STUB)
    (bench.root / "test_shop.py").write_text(TEST)
    with OpenAIServer(scripted({"shop.py::total": {"skeleton": [f"```python\n{WRITTEN}```"]}})) as model:
        editor = bench.editor(options={"model": {"name": "m", "baseUrl": model.base_url}})
        editor.command = [editor.command[0], "-c", SERVE]
        async with editor:
            asked: list[tuple[str, list[str]]] = []

            def answer(message: str, titles: list[str]) -> str | None:
                asked.append((message, titles))
                return "Allow for this workspace" if "Allow for this workspace" in titles else None

            editor.manners.chooses = answer
            buffer = await editor.open(bench.shop)
            refused = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
            assert (refused["state"], refused["message"].count("\n")) == ("refused", 0)
            assert "offers no sandbox that holds (user namespaces: " in refused["message"]
            assert model.requests == []
            again = await editor.until(lambda: {j["jobId"] for j in editor.jobs} - {refused["jobId"]})
            end = await editor.end(again.pop())
            assert (end["state"], end["verdict"]) == ("done", "passed"), end
            assert buffer.text == WRITTEN
            assert asked[0][1] == ["Allow for this workspace", "Not now"]


def test_the_command_line_refuses_and_doctor_says_why(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "shop.py").write_text(STUB)
    (root / "test_shop.py").write_text(TEST)
    (root / "pyproject.toml").touch()

    def soa(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", SOA, *arguments],
            cwd=root,
            env=environment(tmp_path / "home", OPENAI_BASE_URL="http://127.0.0.1:9/v1", SOA_MODEL="m"),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    plain = soa("generate", "shop.py::total")
    assert plain.returncode == 1, plain
    assert "offers no sandbox that holds" in plain.stderr
    told = soa("doctor").stdout
    assert "does not stop" not in told
    assert "!!  sandbox" in told
