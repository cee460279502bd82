"""Holds: one generation over real stdio, from the code action to the edit in the editor's buffer."""

from __future__ import annotations

from lsp_bench import Bench

BODY = 'def total(prices):\n    """The sum of all prices."""\n    return sum(prices)'


async def test_a_stub_is_generated_and_the_edit_lands_in_the_buffer(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY}})
    async with bench.editor() as editor:
        before = await editor.open(bench.shop)
        old = before.text
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        end = await editor.end(job)
        assert end["state"] == "done"
        buffer = editor.buffer(bench.shop)
        assert "return sum(prices)" in buffer.text
        assert buffer.text.replace(BODY, "") == old.replace(
            old[old.index("def total") : old.index("\n\n\ndef rel")], ""
        )
        assert bench.shop.read_text() == old
