"""Holds: the closing message of an applied edit: its buttons where they can be shown, the diff, and an undo
that touches nothing a person wrote since.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from lsp_bench import SHOP, Bench
from lsp_client import PLAIN, VSCODE, Editor

BODY = "def total(prices):\n    return sum(prices)"
STOPS = {  # Neovim's prompt holds the person up, so nothing is asked that can wait
    **VSCODE,
    "window": {
        **VSCODE["window"],
        "showMessage": {"messageActionItem": {"additionalPropertiesSupport": False}},
    },
}
WITHOUT = {**VSCODE, "window": {**VSCODE["window"], "showDocument": {"support": False}}}


def text_of(uri: str) -> str:
    return Path(unquote(urlsplit(uri).path)).read_text()


async def generate(bench: Bench, editor: Editor) -> None:
    bench.plan({"total": {"body": BODY}})
    argument = {"uri": bench.shop.as_uri(), "qualname": "total", "version": None}
    assert (await editor.end(await editor.run("soa.generate", argument)))["state"] == "done"


@pytest.mark.parametrize(
    ("capabilities", "buttons"),
    [(VSCODE, ["Show diff", "Undo"]), (WITHOUT, ["Undo"]), (STOPS, None), (PLAIN, None)],
    ids=["both", "no showDocument", "stops", "plain"],
)
async def test_buttons_by_what_the_client_can_show(
    bench: Bench, capabilities: dict[str, Any], buttons: list[str] | None
) -> None:
    async with bench.editor(capabilities=capabilities) as editor:
        await generate(bench, editor)
        await editor.until(lambda: editor.messages)
        actions = editor.messages[-1].get("actions")
        assert (actions and [a["title"] for a in actions]) == buttons
        assert editor.messages[-1]["type"] == 3


@pytest.mark.parametrize("open_before", [True, False])
async def test_undo_brings_the_text_back(bench: Bench, open_before: bool) -> None:
    async with bench.editor() as editor:
        editor.manners.chooses = lambda message, titles: "Undo" if "Undo" in titles else None
        if open_before:
            await editor.open(bench.shop)
        await generate(bench, editor)
        await editor.until(lambda: len(editor.edits) == 2)
        await editor.until(lambda: editor.buffer(bench.shop).text == SHOP)
        assert bench.shop.read_text() == SHOP, "only the client writes"


async def test_undo_leaves_alone_what_was_edited_since(bench: Bench) -> None:
    async with bench.editor() as editor:
        await editor.open(bench.shop)

        def chooses(message: str, titles: list[str]) -> str | None:
            if "Undo" in titles:
                editor.type(bench.shop, editor.buffer(bench.shop).text + "# mine\n")
                return "Undo"
            return None

        editor.manners.chooses = chooses
        await generate(bench, editor)
        await editor.until(lambda: [m for m in editor.messages if "nothing was undone" in m["message"]])
        assert len(editor.edits) == 1
        assert editor.buffer(bench.shop).text.endswith("# mine\n")


async def test_the_diff_is_shown_as_a_file(bench: Bench) -> None:
    async with bench.editor() as editor:
        editor.manners.chooses = lambda message, titles: "Show diff"
        await editor.open(bench.shop)
        await generate(bench, editor)
        asked = await editor.until(lambda: [p for m, p in editor.asked if m == "window/showDocument"])
        assert "+    return sum(prices)" in text_of(asked[0]["uri"])
        again = await editor.until(lambda: editor.messages[1:])
        assert [a["title"] for a in again[0]["actions"]] == ["Undo"], "who has seen the diff may want it gone"
