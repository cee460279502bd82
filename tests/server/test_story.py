"""Holds: a person's round with the real engine. A save finds a failing test, the lens over the function
behind it rewrites that, its mark and its lens go away, and Undo brings everything back.
"""

from __future__ import annotations

from typing import Any

from lsp_bench import Bench
from openai_server import asked

WRONG = 'def total(prices):\n    """The sum of all prices."""\n    return max(prices)\n'
RIGHT = WRONG.replace("max", "sum")
TEST = "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
OPTIONS = {"clientSupports": ["chat"], "model.provider": "editor", "tests.runOnSave": True}


async def answer(params: dict[str, Any]) -> dict[str, Any]:
    _, step = asked(params)
    text = "It takes the largest." if step == "feedback" else f"```python\n{RIGHT}```"
    return {"text": text, "finishReason": "stop"}


async def test_from_a_save_to_a_mended_function(bench: Bench) -> None:
    bench.shop.write_text(WRONG)
    (bench.root / "test_shop.py").write_text(TEST)
    editor = bench.editor(options=OPTIONS)
    code = "import sys; from soa_server.lsp.serve import serve_stdio; sys.exit(serve_stdio())"
    editor.command = [editor.command[0], "-c", code]
    async with editor:
        editor.manners.model = answer
        buffer = await editor.open(bench.shop)
        assert await editor.lenses(bench.shop) == []
        editor.save(bench.shop)
        (mark,) = await editor.until(lambda: editor.diagnostics.get(buffer.uri), 90)
        assert mark["data"] == {"nodeids": ["test_shop.py::test_total"]}
        (lens,) = await editor.lenses(bench.shop)
        assert lens["command"]["title"] == "1 failing · Regenerate with SoA"
        assert editor.messages == []

        pressed: list[str] = []
        editor.manners.chooses = lambda message, titles: pressed.append(message) or "Undo"
        end = await editor.end(await editor.run(lens["command"]["command"], *lens["command"]["arguments"]))
        assert (end["state"], end["verdict"], end["tests"]["after"]) == (
            "done",
            "passed",
            {"passed": 1, "failed": 0},
        )
        await editor.until(lambda: editor.diagnostics[buffer.uri] == [])
        await editor.until(lambda: len(editor.edits) == 2)
        await editor.until(lambda: buffer.text == WRONG)
        assert pressed == [f"SoA: {end['message']}"]
        assert await editor.lenses(bench.shop) == []
