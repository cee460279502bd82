"""Holds: `soa/trace` tells prompts, replies, test runs and both texts of a job of the real engine, and null
of a job that nobody knows.
"""

from __future__ import annotations

from typing import Any

from lsp_bench import Bench
from lsp_client import Editor

STUB = 'def total(prices):\n    """The sum of all prices."""\n    raise NotImplementedError\n'
WRITTEN = STUB.replace("raise NotImplementedError", "return sum(prices)")
WRONG = STUB.replace("raise NotImplementedError", "return 0")
OPTIONS = {"clientSupports": ["chat"], "model": {"provider": "editor"}}


async def test_a_job_is_told_step_by_step(bench: Bench) -> None:
    bench.shop.write_text(STUB)
    test = "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    (bench.root / "test_shop.py").write_text(test)
    editor: Editor = bench.editor(options=OPTIONS)
    code = "import sys; from soa_server.lsp.serve import serve_stdio; sys.exit(serve_stdio())"
    editor.command = [editor.command[0], "-c", code]
    replies = [f"```python\n{WRONG}```", "The sum is missing.", f"```python\n{WRITTEN}```"]

    async def answer(params: dict[str, Any]) -> dict[str, Any]:
        return {"text": replies.pop(0), "finishReason": "stop"}

    async with editor:
        editor.manners.model = answer
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        assert (await editor.end(job))["verdict"] == "passed"
        told = await editor.ask("soa/trace", {"jobId": job})
        assert await editor.ask("soa/trace", {"jobId": "of nobody"}) is None
    asked = [entry for entry in told["entries"] if entry["messages"]]
    assert [entry["step"] for entry in asked] == ["skeleton", "feedback", "modify"]
    assert asked[0]["messages"][-1]["content"].endswith("Step: skeleton")
    assert asked[-1]["reply"] == f"```python\n{WRITTEN}```"
    reports = [entry["report"] for entry in told["entries"] if entry["report"]]
    assert (reports[0]["passed"], reports[0]["failed"]) == (0, 1)
    assert "0 == 3" in reports[0]["failures"][0]["message"]
    assert reports[-1]["failed"] == 0
    assert told["files"] == [{"path": "shop.py", "before": STUB, "after": WRITTEN}]
