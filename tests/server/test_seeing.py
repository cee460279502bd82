"""Holds: what a person sees without asking: code lenses, hovers, reasons of disabled actions, tags; and that
clients which know none of it are sent none of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_bench import SHOP, Bench
from lsp_client import PLAIN, VSCODE, Editor

TESTS = """from shop import Cart, total


def test_size():
    assert Cart().size == 2


def test_total():
    assert total([1]) == 1
"""
FAILING: dict[str, Any] = {
    "update": {"verdict": None, "tests": {"before": None, "after": {"passed": 0, "failed": 1}}},
    "result": {
        "failures": [
            {
                "nodeid": "test_shop.py::test_size",
                "message": "1 != 2",
                "suspect": "shop.py::Cart.size",
                "test": "test_shop.py::test_size",
                "path": "test_shop.py",
                "line": 5,
            }
        ]
    },
}


@pytest.fixture
def tests(bench: Bench) -> Path:
    path = bench.root / "test_shop.py"
    path.write_text(TESTS)
    bench.plan({"Cart.size": FAILING, "total": {"update": {"message": "total is done."}}})
    return path


async def run_tests(bench: Bench, editor: Editor) -> None:
    await editor.end(await editor.act(bench.shop, "def size", "Run this function's tests with SoA"))


def shown(lenses: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [
        (
            each["range"]["start"]["line"],
            each["command"]["title"],
            each["command"]["arguments"][0]["qualname"],
        )
        for each in lenses
    ]


def line(text: str) -> int:
    return SHOP[: SHOP.index(text)].count("\n")


STUBS = [
    (line("def total"), "Generate with SoA", "total"),
    (line("def release"), "Generate with SoA", "release"),
    (line("def inner"), "Generate with SoA", "Cart.outer.<locals>.inner"),
]


async def test_lenses_stand_above_stubs_and_failing_functions(bench: Bench, tests: Path) -> None:
    async with bench.editor() as editor:
        buffer = await editor.open(bench.shop)
        await editor.open(tests)
        assert shown(await editor.lenses(bench.shop)) == STUBS
        assert await editor.lenses(tests) == []
        asked = len([m for m, _ in editor.asked if m == "workspace/codeLens/refresh"])
        await run_tests(bench, editor)
        await editor.until(
            lambda: len([m for m, _ in editor.asked if m == "workspace/codeLens/refresh"]) > asked
        )
        red = (line("def size"), "1 failing · Regenerate with SoA", "Cart.size")
        assert shown(await editor.lenses(bench.shop)) == sorted([*STUBS, red])
        (lens,) = [each for each in await editor.lenses(bench.shop) if "failing" in each["command"]["title"]]
        assert lens["command"]["command"] == "soa.regenerate"
        assert lens["command"]["arguments"] == [{"uri": buffer.uri, "qualname": "Cart.size", "version": 1}]


async def test_lenses_can_be_turned_off(bench: Bench) -> None:
    async with bench.editor(options={"codeLens.enabled": False}) as editor:
        await editor.open(bench.shop)
        assert await editor.lenses(bench.shop) == []


async def test_a_hover_tells_of_the_agent(bench: Bench, tests: Path) -> None:
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        await editor.open(tests)
        while not (await editor.ask("soa/agents", {}))["complete"]:
            pass
        found = await editor.hover(bench.shop, "total(prices)")
        assert found is not None
        assert found["contents"] == {
            "kind": "markdown",
            "value": "**SoA** Child · 1 test · not written yet",
        }
        assert found["range"]["start"] == {"line": line("def total"), "character": 4}
        await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        await run_tests(bench, editor)
        found = await editor.hover(bench.shop, "total(prices)")
        assert found is not None
        assert found["contents"]["value"].endswith("not written yet\n\nLast: total is done.")
        found = await editor.hover(bench.shop, "size")
        assert found is not None
        assert (
            "1 failing\n\nFailing: `test_size`\n\nLast: size: 0 of 1 tests pass."
            in found["contents"]["value"]
        )
        assert await editor.hover(bench.shop, "math.floor") is None, "only definitions are ours"
        assert await editor.hover(tests, "test_size") is None


async def test_plain_clients_get_plain_text_and_nothing_they_did_not_ask_for(
    bench: Bench, tests: Path
) -> None:
    async with bench.editor(capabilities=PLAIN) as editor:
        await editor.open(bench.shop)
        found = await editor.hover(bench.shop, "total(prices)")
        assert found is not None
        assert found["contents"]["kind"] == "plaintext"
        assert "*" not in found["contents"]["value"]
        await editor.end(
            await editor.run("soa.runTests", {"uri": bench.shop.as_uri(), "qualname": "Cart.size"})
        )
        kind = "refactor.rewrite.soa.generate"
        assert await editor.actions(bench.shop, "math.floor", only=[kind], invoked=True) == []
        assert editor.asked == []


@pytest.mark.parametrize(("invoked", "only", "count"), [(True, True, 1), (False, True, 0), (True, False, 0)])
async def test_a_reason_is_given_to_who_asked(bench: Bench, invoked: bool, only: bool, count: int) -> None:
    kind = "refactor.rewrite.soa.generate"
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        found = await editor.actions(
            bench.shop, "return math.floor", only=[kind] if only else None, invoked=invoked
        )
        off = [action for action in found if "disabled" in action]
        assert len(off) == count
        for action in off:
            assert (action["kind"], action["title"]) == (kind, "Generate with SoA")
            assert action["disabled"]["reason"].startswith("size has a body already")
            assert "command" not in action


@pytest.mark.parametrize(("tags", "expected"), [([1], [1]), ([], None)])
async def test_actions_are_tagged_where_the_client_knows_that(
    bench: Bench, tags: list[int], expected: list[int] | None
) -> None:
    action = {**VSCODE["textDocument"]["codeAction"], "tagSupport": {"valueSet": tags}}
    document = {**VSCODE["textDocument"], "codeAction": action}
    async with bench.editor(capabilities={**VSCODE, "textDocument": document}) as editor:
        await editor.open(bench.shop)
        found = await editor.actions(bench.shop, "The sum of all")
        assert len(found) == 4
        assert all(each.get("tags") == expected for each in found)


async def test_the_map_follows_the_disk_and_what_is_typed(bench: Bench, tests: Path) -> None:
    workspace = {**VSCODE["workspace"], "didChangeWatchedFiles": {"dynamicRegistration": True}}
    async with bench.editor(capabilities={**VSCODE, "workspace": workspace}) as editor:
        await editor.open(bench.shop)

        async def known() -> dict[str, str]:
            while not (answer := await editor.ask("soa/agents", {}))["complete"]:
                pass
            return {agent["function"]: agent["status"] for agent in answer["agents"]}

        before = await known()
        (asked,) = [params for method, params in editor.asked if method == "client/registerCapability"]
        assert asked["registrations"][0]["method"] == "workspace/didChangeWatchedFiles"
        made = bench.root / "made.py"
        made.write_text("def made(): ...\n")
        editor.tell("workspace/didChangeWatchedFiles", {"changes": [{"uri": made.as_uri(), "type": 1}]})
        assert await known() == {**before, "made.py::made": "stub"}
        editor.type(
            bench.shop, SHOP.replace("import math", 'import math\n\nx = ("""').replace("pass", "return 1")
        )
        assert await known() == {
            **before,
            "made.py::made": "stub",
            "shop.py::Cart.outer.<locals>.inner": "unknown",
        }


async def symbols_of(editor: Editor, path: Path) -> list[tuple[str, str, int]]:
    found = await editor.ask("textDocument/documentSymbol", {"textDocument": {"uri": path.as_uri()}})
    return [(each["name"], each["detail"], each["selectionRange"]["start"]["line"]) for each in found]


async def test_a_documents_symbols_are_stubs_and_agents_at_work(bench: Bench, tests: Path) -> None:
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        await editor.open(tests)
        stubs = [(name, "stub", at) for at, _, name in STUBS]
        assert await symbols_of(editor, bench.shop) == stubs
        assert await symbols_of(editor, tests) == []
        await run_tests(bench, editor)
        red = ("Cart.size", "1 failing", line("def size"))
        assert await symbols_of(editor, bench.shop) == sorted([*stubs, red], key=lambda each: each[2])
        bench.plan({"release": {"hold": True}})
        await editor.act(bench.shop, "def release", "Generate with SoA")
        busy = ("release", "SoA writes it", line("def release"))
        assert busy in await symbols_of(editor, bench.shop)


async def test_a_workspaces_symbols_are_its_stubs_and_failing_functions(bench: Bench, tests: Path) -> None:
    other = bench.root / "other.py"
    other.write_text("\n\ndef to_do(): ...\ndef done(): return 1\n")

    async def found(query: str) -> list[tuple[str, str, int]]:
        answer = await editor.ask("workspace/symbol", {"query": query})
        places = [(each["location"]["uri"].rpartition("/")[2], each) for each in answer]
        return sorted(
            (f"{file}::{each['name']}", each["containerName"], each["location"]["range"]["start"]["line"])
            for file, each in places
        )

    async with bench.editor() as editor:
        await editor.open(bench.shop)
        while not (await editor.ask("soa/agents", {}))["complete"]:
            pass
        stubs = [("other.py::to_do", "stub", 2), *((f"shop.py::{name}", "stub", at) for at, _, name in STUBS)]
        assert await found("") == sorted(stubs)
        assert await found("TODO") == [("other.py::to_do", "stub", 2)]
        await run_tests(bench, editor)
        assert await found("size") == [("shop.py::Cart.size", "1 failing", line("def size"))]
        editor.type(bench.shop, SHOP.replace("def release", "def released"))
        assert await found("rlsd") == [("shop.py::released", "stub", line("def release"))]
    async with bench.editor() as editor:
        assert await found("to_do") == [("other.py::to_do", "stub", 2)], "as the session before left it"


async def test_folders_come_and_go(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "more.py").write_text("def more(): ...\n")

    async def known() -> set[str]:
        while not (answer := await editor.ask("soa/agents", {}))["complete"]:
            pass
        return {agent["function"] for agent in answer["agents"]}

    def change(**event: Path) -> None:
        named = {name: [{"uri": folder.as_uri(), "name": folder.name}] for name, folder in event.items()}
        whole = {"event": {"added": [], "removed": [], **named}}
        editor.tell("workspace/didChangeWorkspaceFolders", whole)

    async with bench.editor() as editor:
        alone = await known()
        assert "shop.py::total" in alone
        change(added=other)
        assert await known() == {f"{bench.root.name}/{name}" for name in alone} | {"other/more.py::more"}
        (found,) = await editor.ask("workspace/symbol", {"query": "more"})
        assert found["location"]["uri"] == (other / "more.py").as_uri()
        change(removed=bench.root)
        assert await known() == {"more.py::more"}
        await editor.open(bench.shop)
        titles = [each["title"] for each in await editor.actions(bench.shop, "def total")]
        assert "Generate with SoA" in titles, "a file outside every folder is a workspace of its own"
