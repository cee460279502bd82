"""Holds: a job written by the editor's own model, through the real engine: asked with the conversation, told
in chunks, cancelled by the protocol's own cancelling, and a plain sentence where there is no such model.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsp_bench import SHOP, Bench
from lsp_client import Editor
from openai_server import asked
from pygls.exceptions import JsonRpcException

STUB = 'def total(prices):\n    """The sum of all prices."""\n    raise NotImplementedError\n'
WRITTEN = STUB.replace("raise NotImplementedError", "return sum(prices)")
EDITOR = {"clientSupports": ["chat"], "model": {"provider": "editor", "name": "of the editor"}}

Json = dict[str, Any]


@pytest.fixture
def shop(bench: Bench) -> Path:
    bench.shop.write_text(STUB)
    test = "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    (bench.root / "test_shop.py").write_text(test)
    return bench.shop


def real(bench: Bench, options: Json = EDITOR) -> Editor:
    """An editor before the server with its real engine."""
    editor = bench.editor(options=options)
    code = "import sys; from soa_server.lsp.serve import serve_stdio; sys.exit(serve_stdio())"
    editor.command = [editor.command[0], "-c", code]
    return editor


async def test_the_editors_model_writes(bench: Bench, shop: Path) -> None:
    async with real(bench) as editor:

        async def answer(params: Json) -> Json:
            assert params["model"] == "of the editor"
            assert asked(params) == ("shop.py::total", "skeleton")
            text = f"```python\n{WRITTEN}```"
            for part in (text[:20], text[20:]):
                editor.tell("soa/model/chunk", {"requestId": params["requestId"], "text": part})
            return {
                "text": text,
                "finishReason": "stop",
                "usage": {"inputTokens": 700, "outputTokens": 30},
            }

        editor.manners.model = answer
        await editor.open(shop)
        end = await editor.end(await editor.act(shop, "def total", "Generate with SoA"))
        assert (end["state"], end["verdict"]) == ("done", "passed"), end
        assert {k: end["usage"][k] for k in ("calls", "inputTokens", "outputTokens")} == {
            "calls": 1,
            "inputTokens": 700,
            "outputTokens": 30,
        }
        assert editor.buffer(shop).text == WRITTEN


async def test_cancelling_a_job_cancels_the_question(bench: Bench, shop: Path) -> None:
    async with real(bench) as editor:
        was_asked, was_cancelled = asyncio.Event(), asyncio.Event()

        async def answer(params: Json) -> Json:
            was_asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                was_cancelled.set()
                raise
            raise AssertionError

        editor.manners.model = answer
        await editor.open(shop)
        job = await editor.act(shop, "def total", "Generate with SoA")
        await asyncio.wait_for(was_asked.wait(), 60)
        await editor.run("soa.cancel", {"jobId": job})
        assert (await editor.end(job))["state"] == "cancelled"
        await asyncio.wait_for(was_cancelled.wait(), 20)
        assert len([m for m, _ in editor.asked if m == "soa/model/chat"]) == 1
    assert b"never retrieved" not in editor.stderr, "the client's late answer is no error"


async def test_a_model_that_refuses_ends_the_job_with_its_reason(bench: Bench, shop: Path) -> None:
    async with real(bench) as editor:

        async def answer(params: Json) -> Json:
            raise JsonRpcException("The person gave\nno permission.", -32001)

        editor.manners.model = answer
        await editor.open(shop)
        end = await editor.end(await editor.act(shop, "def total", "Generate with SoA"))
        assert end["state"] == "failed"
        assert "The person gave no permission" in end["message"]
        assert editor.edits == []


@pytest.mark.parametrize("supports", [[], ["secret"]])
async def test_without_such_a_model_nothing_is_started(bench: Bench, supports: list[str]) -> None:
    options = {**EDITOR, "clientSupports": supports}
    async with bench.editor(options=options) as editor:
        await editor.open(bench.shop, SHOP)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert end["state"] == "failed"
        assert end["message"].startswith("soa.model.provider is editor, but nothing")
        assert bench.received() == []
        tests = await editor.act(bench.shop, "def total", "Run this function's tests with SoA")
        assert (await editor.end(tests))["state"] == "done", "tests need no model"
