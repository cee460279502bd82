"""Holds: one generation over real stdio, from the code action to the edit in the buffer, and what may come
between: typing, refusing, cancelling, two jobs at once, a dying engine.

The server is the real one, its engine a process that follows a plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lsp_bench import SHOP, Bench
from lsp_client import PLAIN, VSCODE, Editor
from pygls.exceptions import JsonRpcException

BODY = 'def total(prices):\n    """The sum of all prices."""\n    return sum(prices)'
OLD = SHOP[SHOP.index("def total") : SHOP.index("\n\n\ndef release")]
TALLY = {"before": {"passed": 0, "failed": 4}, "after": {"passed": 4, "failed": 0}}


def titles(editor: Editor, job: str) -> list[str]:
    return [j["state"] for j in editor.jobs if j["jobId"] == job]


def assert_sentence(end: dict[str, Any]) -> None:
    assert end["message"]
    assert "\n" not in end["message"]
    assert "Traceback" not in end["message"]


async def test_a_stub_is_generated_and_the_edit_lands_in_the_buffer(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY, "update": {"tests": TALLY}}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        end = await editor.end(job)
        assert {k: end[k] for k in ("kind", "target", "state", "verdict", "tests")} == {
            "kind": "generate",
            "target": "shop.py::total",
            "state": "done",
            "verdict": "passed",
            "tests": TALLY,
        }
        assert editor.buffer(bench.shop).text == SHOP.replace(OLD, BODY)
        assert bench.shop.read_text() == SHOP, "only the client writes"
        assert titles(editor, job)[0] == "running"
        await editor.until(lambda: editor.messages)
        assert editor.messages[-1]["message"] == "SoA: total passes 4 of 4 tests (0 before)."
        order = [what for what, _ in editor.told]
        assert order.index("answer workspace/executeCommand") < order.index("soa/job")
        assert order.index("workspace/applyEdit") < len(order) - 1 - order[::-1].index("soa/job")


async def test_the_edit_is_versioned_and_annotated(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY}})
    async with bench.editor() as editor:
        buffer = await editor.open(bench.shop)
        await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        (params,) = editor.edits
        (change,) = params["edit"]["documentChanges"]
        assert change["textDocument"] == {"uri": buffer.uri, "version": 1}
        keys = [edit["annotationId"] for edit in change["edits"]]
        annotations = params["edit"]["changeAnnotations"]
        assert [annotations[key]["label"] for key in keys] == ["imports", "total"]
        assert not any(a.get("needsConfirmation") for a in annotations.values())


async def test_a_plain_client_gets_plain_changes_and_no_progress(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY}})
    async with bench.editor(capabilities=PLAIN) as editor:
        buffer = await editor.open(bench.shop)
        (first, *_) = await editor.actions(bench.shop, "def total")
        assert first["command"] == "soa.generate", "a bare command where action literals are unknown"
        await editor.end(await editor.run(first["command"], *first["arguments"]))
        assert list(editor.edits[0]["edit"]["changes"]) == [buffer.uri]
        assert editor.buffer(bench.shop).text == SHOP.replace(OLD, BODY)
        assert editor.progress == []
        assert {method for method, _ in editor.asked} == {"workspace/applyEdit"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_crlf_and_astral_characters_in_every_encoding(bench: Bench, encoding: str) -> None:
    text = "# \U0001f600\u2028\x0c é\r\n" + SHOP.replace("\n", "\r\n").replace("sum of", "\U0001f600\x0c of")
    body = BODY.replace("\n", "\r\n")
    old = text[text.index("def total") : text.index("\r\n\r\n\r\ndef release")]
    bench.plan({"total": {"body": body}})
    capabilities = {**VSCODE, "general": {"positionEncodings": [encoding]}}
    async with bench.editor(capabilities=capabilities) as editor:
        assert editor.server_capabilities["positionEncoding"] == encoding
        await editor.open(bench.shop, text)
        end = await editor.end(await editor.act(bench.shop, "\x0c of", "Generate with SoA"))
        assert end["state"] == "done"
        assert editor.buffer(bench.shop).text == text.replace(old, body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_a_client_that_counts_the_byte_order_mark(bench: Bench, encoding: str) -> None:
    text = "\ufeffdef total(): ...\n\n\ndef release(): ...\n"
    bench.shop.write_text(text)
    bench.plan({name: {"body": f"def {name}(): return 1"} for name in ("total", "release")})
    capabilities = {**VSCODE, "general": {"positionEncodings": [encoding]}}
    async with bench.editor(capabilities=capabilities) as editor:
        await editor.open(bench.shop, text)
        for name in ("total", "release"):
            await editor.end(await editor.act(bench.shop, f"def {name}", "Generate with SoA"))
        assert editor.buffer(bench.shop).text == text.replace("...", "return 1")


async def test_typing_elsewhere_moves_the_edit(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY, "hold": True}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        await editor.until(lambda: titles(editor, job))
        moved = "# typed meanwhile\n" + SHOP.replace("import math", "import math  # really")
        editor.type(bench.shop, moved)
        await editor.act(bench.shop, "def release", "Generate with SoA")
        assert (await editor.end(job))["state"] == "done"
        assert editor.buffer(bench.shop).text == moved.replace(OLD, BODY)


async def test_typing_in_the_function_refuses_the_edit_and_keeps_it(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY, "hold": True}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        await editor.until(lambda: titles(editor, job))
        typed = SHOP.replace("raise NotImplementedError", "return 3")
        editor.type(bench.shop, typed)
        await editor.act(bench.shop, "def release", "Generate with SoA")
        end = await editor.end(job)
        assert (end["state"], end["verdict"]) == ("refused", "passed")
        assert "total changed while SoA worked on it" in end["message"]
        assert_sentence(end)
        assert editor.edits == []
        assert editor.buffer(bench.shop).text == typed
        asked = await editor.until(lambda: [m for m in editor.messages if "actions" in m])
        assert [a["title"] for a in asked[0]["actions"]] == ["Show diff", "Generate again"]
        (kept,) = (bench.root.parent / "home").rglob("*.diff")
        assert "+    return sum(prices)" in kept.read_text()


@pytest.mark.parametrize(
    ("capabilities", "settings", "offer", "confirms", "state"),
    [
        (VSCODE, "always", "apply", True, "done"),
        (VSCODE, "always", "apply", False, "refused"),
        (VSCODE, "auto", "preview", True, "done"),
        (VSCODE, "auto", "preview", False, "refused"),
        (VSCODE, "never", "apply", False, "done"),
        (VSCODE, "never", "preview", True, "refused"),
        (PLAIN, "auto", "preview", True, "done"),
        (PLAIN, "auto", "preview", False, "refused"),
    ],
)
async def test_previews(
    bench: Bench, capabilities: dict[str, Any], settings: str, offer: str, confirms: bool, state: str
) -> None:
    update = {"verdict": "untested", "flags": [{"line": 3, "why": "reads its caller's frame"}]}
    bench.plan({"total": {"body": BODY, "update": update, "result": {"offer": offer}}})
    async with bench.editor(capabilities=capabilities, options={"preview": settings}) as editor:
        editor.manners.confirms = confirms
        editor.manners.chooses = lambda message, titles: "Apply" if confirms and "Apply" in titles else None
        await editor.open(bench.shop)
        job = await editor.run(
            "soa.generate", {"uri": bench.shop.as_uri(), "qualname": "total", "version": 1}
        )
        end = await editor.end(job)
        assert (end["state"], end["verdict"], end["flags"]) == (state, "untested", update["flags"])
        assert (editor.buffer(bench.shop).text != SHOP) == (state == "done")
        if state == "refused":
            assert_sentence(end)


@pytest.mark.parametrize("operations", [["create", "rename", "delete"], ["rename"], None])
async def test_only_a_client_that_creates_files_is_sent_new_ones(
    bench: Bench, operations: list[str] | None
) -> None:
    bench.plan({"total": {"body": BODY, "creates": {"test_shop.py": "def test_total(): ...\n"}}})
    workspace = VSCODE["workspace"]
    edits = {**workspace["workspaceEdit"], "resourceOperations": operations}
    if operations is None:
        del edits["resourceOperations"]
    capabilities = {**VSCODE, "workspace": {**workspace, "workspaceEdit": edits}}
    async with bench.editor(capabilities=capabilities) as editor:
        await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert end["state"] == "done"
        assert editor.buffer(bench.shop).text == SHOP.replace(OLD, BODY)
        changes = editor.edits[0]["edit"]["documentChanges"]
        creates = ["create"] if operations and "create" in operations else []
        assert [change["kind"] for change in changes if "kind" in change] == creates
        assert len(changes) == 1 + 2 * len(creates)


async def test_a_client_that_does_not_apply_refuses_the_job(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY}})
    async with bench.editor() as editor:
        editor.manners.applies = False
        await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert (end["state"], end["verdict"]) == ("refused", "passed")
        assert "did not apply" in end["message"]
        assert_sentence(end)


@pytest.mark.parametrize("way", ["command", "progress", "action"])
@pytest.mark.parametrize("late", [False, True], ids=["engine cancels", "engine was done already"])
async def test_cancel(bench: Bench, way: str, late: bool) -> None:
    bench.plan({"total": {"body": BODY, "hold": True, "late": late}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        begun = await editor.until(lambda: [p for p in editor.progress if p["value"]["kind"] == "begin"])
        await editor.until(
            lambda: [p for p in editor.progress if p["value"].get("message") == "asking the Mother"]
        )
        assert begun[0]["value"]["cancellable"] is True
        if way == "command":
            assert await editor.run("soa.cancel", {"jobId": job}) == job
        elif way == "progress":
            editor.tell("window/workDoneProgress/cancel", {"token": begun[0]["token"]})
        else:
            await editor.act(bench.shop, "import", "Cancel SoA")
        end = await editor.end(job)
        assert end["state"] == "cancelled"
        assert_sentence(end)
        assert editor.edits == []
        await editor.until(lambda: editor.progress[-1]["value"]["kind"] == "end")
        assert "Cancel SoA" not in [a["title"] for a in await editor.actions(bench.shop, "import")]


async def test_two_jobs_on_one_function(bench: Bench) -> None:
    bench.plan({"total": {"hold": True}, "shop.py": {"hold": True}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        first = await editor.act(bench.shop, "def total", "Generate with SoA")
        second = await editor.act(bench.shop, "def total", "Generate with SoA")
        whole = await editor.act(bench.shop, "def total", "Implement all stubs in this file with SoA")
        for job in (second, whole):
            end = await editor.end(job)
            assert end["state"] == "refused"
            assert end["message"].startswith("total is being written by another job")
            assert_sentence(end)
        await editor.run("soa.cancel", {"jobId": first})
        await editor.end(first)
        third = await editor.act(bench.shop, "def total", "Generate with SoA")
        await editor.until(lambda: titles(editor, third) == ["running", "running"])


async def test_a_command_for_an_older_version_is_refused(bench: Bench) -> None:
    async with bench.editor() as editor:
        buffer = await editor.open(bench.shop)
        editor.type(bench.shop, SHOP + "\n")
        job = await editor.run("soa.generate", {"uri": buffer.uri, "qualname": "total", "version": 1})
        end = await editor.end(job)
        assert end["state"] == "refused"
        assert "changed" in end["message"]
        assert bench.received() == []


@pytest.mark.parametrize(
    ("uri", "qualname", "says"),
    [
        ("untitled:Untitled-1", "f", "not saved yet"),
        ("vscode-notebook-cell:/w/n.ipynb#W0", "f", "notebook"),
        ("git:/w/x.py", "f", "git"),
        ("ROOT/none.py", "f", "none.py"),
        ("ROOT/binary.py", "f", "binary.py"),
        ("ROOT/shop.py", "nobody", "nobody"),
        ("ROOT/plan.txt", "f", "plan.txt"),
    ],
)
async def test_what_cannot_be_worked_on_is_told_in_a_sentence(
    bench: Bench, uri: str, qualname: str, says: str
) -> None:
    (bench.root / "binary.py").write_bytes(b"\0\1")
    (bench.root / "plan.txt").write_text("def f(): ...")
    uri = uri.replace("ROOT", bench.root.as_uri())
    async with bench.editor() as editor:
        job = await editor.run("soa.generate", {"uri": uri, "qualname": qualname, "version": None})
        end = await editor.end(job)
        assert end["state"] == "refused"
        assert says in end["message"]
        assert_sentence(end)
        await editor.until(lambda: editor.messages)
        assert bench.received() == [], "the engine is not even started"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("soa.generate", []),
        ("soa.generate", [{"uri": 3}]),
        ("soa.implementFile", [{"uri": "file:///x.py"}]),
        ("soa.runTests", [{"qualname": "f"}]),
        ("soa.cancel", ["id"]),
        ("soa.stubs", [{"uri": "file:///x.py", "qualname": "f", "version": 1, "protocol": "anarchy"}]),
        ("soa.unknown", [{}]),
    ],
)
async def test_a_malformed_argument_is_invalid_params(
    bench: Bench, command: str, arguments: list[Any]
) -> None:
    async with bench.editor() as editor:
        with pytest.raises(JsonRpcException) as raised:
            await editor.run(command, *arguments)
        assert raised.value.code == -32602
        assert command in raised.value.message
        assert editor.jobs == []


async def test_a_document_that_is_not_open_is_read_from_the_disk(bench: Bench) -> None:
    bench.shop.write_bytes(b"\xef\xbb\xbf" + SHOP.encode())
    bench.plan({"total": {"body": BODY}})
    async with bench.editor() as editor:
        argument = {"uri": bench.shop.as_uri(), "qualname": "total", "version": None}
        assert (await editor.end(await editor.run("soa.generate", argument)))["state"] == "done"
        assert editor.edits[0]["edit"]["documentChanges"][0]["textDocument"]["version"] is None
        assert editor.buffer(bench.shop).text == SHOP.replace(OLD, BODY)


async def test_folders_of_one_name_are_told_apart(bench: Bench) -> None:
    other = bench.root.parent / "b" / bench.root.name
    other.mkdir(parents=True)
    (other / "shop.py").write_text(SHOP)
    bench.plan({"total": {"body": BODY}})
    async with bench.editor(bench.root, other) as editor:
        await editor.open(other / "shop.py")
        end = await editor.end(await editor.act(other / "shop.py", "def total", "Generate with SoA"))
        assert (end["state"], end["target"]) == ("done", "shop project-2/shop.py::total")
        assert "return sum" in editor.buffer(other / "shop.py").text
        job = bench.received()[0]["job"]
        assert [folder["name"] for folder in job["folders"]] == ["shop project", "shop project-2"]
        assert list(job["buffers"]) == ["shop project-2/shop.py"]


async def test_without_a_folder_the_files_directory_serves(bench: Bench) -> None:
    bench.plan({"total": {"body": BODY}})
    editor = bench.editor()
    editor.folders = []
    async with editor:
        await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert (end["state"], end["target"]) == ("done", "shop.py::total")
        assert bench.received()[0]["job"]["folders"] == [{"name": bench.root.name, "root": str(bench.root)}]


async def test_what_the_engine_says_reaches_the_client(bench: Bench) -> None:
    agents = [
        {"agentId": "a1", "function": "shop.py::total", "state": "asking", "step": "skeleton"},
        {"agentId": "a2", "parentId": "a1", "function": "shop.py::_part", "state": "waiting"},
    ]
    update = {
        "usage": {"calls": 6, "inputTokens": 5000, "cachedTokens": 0, "outputTokens": 100},
        "tests": TALLY,
    }
    bench.plan({"total": {"body": BODY, "agents": agents, "update": update}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        end = await editor.end(job)
        assert editor.agents == [{"jobId": job, **agent} for agent in agents]
        assert end["usage"] == update["usage"]
        await editor.until(lambda: editor.messages)
        said = "SoA: total passes 4 of 4 tests (0 before). 2 agents, 6 calls, 5.1k tokens."
        assert (editor.messages[-1]["type"], editor.messages[-1]["message"]) == (3, said)


async def test_a_dying_engine_ends_its_jobs_and_the_next_one_starts_anew(bench: Bench) -> None:
    bench.plan({"total": {"die": True}, "release": {}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert end["state"] == "failed"
        assert_sentence(end)
        assert (await editor.end(await editor.act(bench.shop, "def release", "Generate with SoA")))[
            "state"
        ] == "done"


@pytest.mark.parametrize("announced", [True, False])
async def test_the_key_is_asked_for_only_when_announced(bench: Bench, announced: bool) -> None:
    options = {"clientSupports": ["secret"] if announced else [], "model": {"apiKeyEnv": "MY_KEY"}}
    async with bench.editor(options=options) as editor:
        editor.manners.secrets = {"MY_KEY": "sk-hidden"}
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        await editor.end(job)
        start, secret = bench.received()
        assert secret == {"type": "secret", "jobId": job, "value": "sk-hidden" if announced else None}
        assert "sk-hidden" not in json.dumps(start)
        asked = [params for method, params in editor.asked if method == "soa/secret"]
        assert asked == ([{"name": "MY_KEY"}] if announced else [])
    assert b"sk-hidden" not in editor.stderr


async def test_settings_come_from_the_client_and_a_wrong_one_is_told_once(bench: Bench) -> None:
    editor = bench.editor(options={"soa": {"limits": {"rounds": 2, "calls": 9}}})
    editor.manners.settings = {"": {"limits": {"calls": 7, "depth": "deep"}, "model.name": "m"}}
    async with editor:
        await editor.open(bench.shop)
        await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        settings = bench.received()[0]["job"]["settings"]
        limits = settings["limits"]
        assert (limits["calls"], limits["rounds"], limits["depth"], settings["model"]["name"]) == (
            7,
            2,
            2,
            "m",
        )
        editor.manners.settings = {
            bench.root.as_uri(): {"limits": {"calls": 8}, "codeActions.enabled": False}
        }
        editor.tell("workspace/didChangeConfiguration", {"settings": None})
        argument = {"uri": bench.shop.as_uri(), "qualname": "total", "version": 1}
        await editor.end(await editor.run("soa.generate", argument))
        assert bench.received()[2]["job"]["settings"]["limits"]["calls"] == 8
        assert await editor.actions(bench.shop, "def total") == []
        assert len([m for m in editor.messages if "soa.limits.depth" in m["message"]]) == 1


async def test_going_without_a_sandbox_is_asked_once(bench: Bench) -> None:
    refused = {
        "update": {"state": "refused", "verdict": None, "message": "No sandbox."},
        "result": {"refusal": "NoSandbox"},
    }
    bench.plan({"total": refused})
    async with bench.editor() as editor:
        editor.manners.chooses = lambda message, titles: titles[0]
        await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        assert (end["state"], end["message"]) == ("refused", "No sandbox.")
        await editor.until(lambda: len({j["jobId"] for j in editor.jobs}) > 1)
        asked = [m for m in editor.messages if "actions" in m]
        assert [a["title"] for a in asked[0]["actions"]] == ["Allow for this workspace", "Not now"]
        editor.manners.chooses = lambda message, titles: None
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        starts = [m["job"]["sandboxConsent"] for m in bench.received() if m["type"] == "start"]
        assert (starts[0], starts[1], starts[-1]) == (False, True, True)


async def test_failing_tests_become_diagnostics_with_a_quick_fix(bench: Bench) -> None:
    tests = bench.root / "test_shop.py"
    tests.write_text("from shop import Cart\n\n\ndef test_size():\n    assert Cart().size == 2\n")
    failures = [
        {"nodeid": f"test_shop.py::{name}", "message": "1 != 2", "suspect": "shop.py::Cart.size"}
        | {"test": "test_shop.py::test_size", "path": "test_shop.py", "line": 5}
        for name in ("test_size[a]", "test_size[b]")
    ]
    lonely = {
        "nodeid": "test_shop.py::test_size",
        "message": "odd",
        "suspect": "",
        "test": "test_shop.py::test_size",
    }
    lonely |= {"path": "", "line": 0}
    green = [f["nodeid"] for f in [*failures, lonely]]
    after = {"tests": {"after": {"passed": 0, "failed": 3}, "before": None}, "verdict": None}
    bench.plan(
        {
            "Cart.size": {"result": {"failures": [*failures, lonely]}, "update": after},
            "release": {"update": after, "result": {"passing": green}},
        }
    )
    async with bench.editor() as editor:
        shop = await editor.open(bench.shop)
        end = await editor.end(await editor.act(bench.shop, "def size", "Run this function's tests with SoA"))
        assert (end["kind"], end["state"], end["tests"]) == (
            "runTests",
            "done",
            {"after": {"passed": 0, "failed": 3}},
        )
        (found,) = editor.diagnostics[shop.uri]
        line = SHOP[: SHOP.index("size")].count("\n")
        assert found["range"] == {
            "start": {"line": line, "character": 8},
            "end": {"line": line, "character": 12},
        }
        assert (found["source"], found["code"]) == ("soa", "test-failed")
        assert found["data"] == {"nodeids": green[:2]}
        assert found["relatedInformation"][0]["location"]["uri"] == tests.as_uri()
        assert found["relatedInformation"][0]["location"]["range"]["start"] == {"line": 4, "character": 4}
        (test,) = editor.diagnostics[tests.as_uri()]
        assert test["range"]["start"] == {"line": 3, "character": 4}
        (fix,) = await editor.actions(bench.shop, "size", only=["quickfix"], diagnostics=[found])
        assert fix["title"] == "Regenerate with SoA (2 failing tests)"
        assert fix["diagnostics"] == [found]
        assert fix["command"]["arguments"][0]["qualname"] == "Cart.size"
        await editor.end(await editor.act(bench.shop, "def release", "Run this function's tests with SoA"))
        assert (editor.diagnostics[shop.uri], editor.diagnostics[tests.as_uri()]) == ([], [])


async def test_agents_of_the_workspace(bench: Bench) -> None:
    (bench.root / "test_shop.py").write_text(
        "from shop import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"
    )
    async with bench.editor() as editor:
        await editor.open(bench.shop, SHOP + "\n\ndef added():\n    return total([])\n")
        answer = await editor.ask("soa/agents", {"uri": bench.shop.as_uri()})
        assert answer["complete"] is False
        while not answer["complete"]:
            answer = await editor.ask("soa/agents", {})
        agents = {agent["function"]: agent for agent in answer["agents"]}
        assert agents["shop.py::total"] == {
            "function": "shop.py::total",
            "role": "child",
            "children": [],
            "tests": ["test_shop.py::test_total"],
            "status": "stub",
        }
        assert agents["shop.py::added"]["role"] == "mother"
        assert not [name for name in agents if name.startswith("test_shop")]


def test_the_shop_is_what_these_tests_think(tmp_path: Path) -> None:
    assert SHOP.count(OLD) == 1
