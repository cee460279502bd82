"""Test runs on the nodes of a cluster: what travels, who runs what, what a lost node costs; without Ray."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.errors import NoSandbox, Refused, UsageError
from soa_agents.remote import on_cluster, parcel
from soa_agents.remote.cluster import NodeLost
from soa_agents.remote.node import Bench, Node
from soa_agents.remote.parcel import Parcel, pack
from soa_agents.remote.pool import Pool
from soa_agents.remote.runner import RemoteRunner
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Report, Selection
from verify_place import environment, own_python, written

SHOP = {"shop.py": "def total(items):\n    return 0\n\n\ndef count(items):\n    return len(items)\n"}
SHOP |= {"test_shop.py": "from shop import total\n\n\ndef test_total():\n    assert total([2, 3]) == 5\n"}
RIGHT = {"shop.py": SHOP["shop.py"].replace("return 0", "return sum(items)")}
TEST = Selection(("test_shop.py::test_total",), cold=True)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def names(what: Parcel) -> set[str]:
    return {item.path for item in what.items}


# What travels


def test_what_git_ignores_and_what_holds_secrets_stays(tmp_path: Path) -> None:
    written(tmp_path, {**SHOP, ".gitignore": "local.py\n", "local.py": "KEY = 1\n", "data/rows.csv": "1\n"})
    written(tmp_path, {".env": "OPENAI_API_KEY=sk-1\n", "deep/.env.production": "KEY=2\n", ".netrc": "x\n"})
    environment(tmp_path / ".venv")
    git(tmp_path, "init", "--quiet")
    assert names(pack(tmp_path)) == {*SHOP, ".gitignore", "data/rows.csv"}


def test_without_a_repository_environments_caches_and_what_gitignore_names_stay(tmp_path: Path) -> None:
    written(tmp_path, {**SHOP, ".gitignore": "local.py\n", "local.py": "KEY = 1\n", "data/rows.csv": "1\n"})
    written(
        tmp_path, {"__pycache__/shop.pyc": "", ".pytest_cache/x": "", "node_modules/x.js": "", ".env": ""}
    )
    environment(tmp_path / "python")
    assert names(pack(tmp_path)) == {*SHOP, ".gitignore", "data/rows.csv"}


def test_links_that_lead_out_stay(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    root = written(tmp_path / "shop", SHOP)
    (root / "inside.py").symlink_to("shop.py")
    (root / "outside.py").symlink_to("../secret")
    (root / "absolute.py").symlink_to(tmp_path / "secret")
    packed = pack(root)
    assert names(packed) == {*SHOP, "inside.py"}
    assert packed.unpack(tmp_path / "there").joinpath("inside.py").read_text() == SHOP["shop.py"]


def test_pytests_configuration_above_the_folder_comes_along(tmp_path: Path) -> None:
    written(tmp_path, {"conftest.py": "", "other/x.py": "", "packages/shop/shop.py": ""})
    git(tmp_path, "init", "--quiet")
    packed = pack(tmp_path / "packages/shop")
    assert names(packed) == {"conftest.py", "packages/shop/shop.py"}
    assert packed.unpack(tmp_path / "there") == tmp_path / "there/packages/shop"


def test_too_much_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "MOST_MB", 0)
    with pytest.raises(Refused, match="too much to send to a cluster"):
        pack(written(tmp_path, SHOP))


PARTS = st.text("abß.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
TREES = st.dictionaries(st.tuples(PARTS, PARTS).map("/".join), st.binary(max_size=20), max_size=5)


@given(TREES)
def test_what_arrives_is_what_was_sent_and_its_digest_says_so(
    tmp_path_factory: pytest.TempPathFactory, tree: Mapping[str, bytes]
) -> None:
    place = tmp_path_factory.mktemp("parcel")
    (place / "here").mkdir()
    for path, data in tree.items():
        (place / "here" / path).parent.mkdir(exist_ok=True)
        (place / "here" / path).write_bytes(data)
    sent = pack(place / "here")
    there = sent.unpack(place / "there")
    assert {p: (there / p).read_bytes() for p in names(sent)} == {p: tree[p] for p in names(sent)}
    assert pack(there) == sent
    (there / "more").write_bytes(b"")
    assert pack(there).digest != sent.digest


# Nodes, in this process


@dataclass(eq=False)
class Near:
    """A node as the runner sees it, without a cluster. `lost` says which calls it does not come back from."""

    name: str
    slots: int = 1
    lost: Callable[[str], bool] = lambda method: False
    called: list[str] = field(default_factory=list)
    node: Node | None = None

    async def call(self, method: str, *arguments: Any, name: str = "") -> Any:
        self.called.append(name or method)
        self.node = self.node or Node(self.slots)
        if self.lost(method):
            raise NodeLost("the actor died")
        return await getattr(self.node, method)(*arguments)


@dataclass
class Here:
    """A cluster of such nodes."""

    nodes: tuple[Near, ...]
    address: str = "here"

    def sent(self, digest: str, what: Parcel) -> Parcel:
        return what

    async def close(self) -> None:
        for near in self.nodes:
            if near.node is not None:
                await near.node.close()


def bench(root: Path, **changed: Any) -> Bench:
    given = Bench(pack(root).digest, root, own_python(), TestSettings(), Limits(), "", {})
    return replace(given, **changed)


def remote(root: Path, *nodes: Near, said: list[str] | None = None, **changed: Any) -> RemoteRunner:
    here = Ladder(ColdRunner.open(root, own_python(), TestSettings(), Limits()))
    say = (said if said is not None else []).append
    return RemoteRunner(Pool(Here(nodes), say), pack(root), bench(root, **changed), here)  # type: ignore[arg-type]


def dies(*times: int) -> Callable[[str], bool]:
    """Lost in its first runs, second runs, …"""
    runs = iter(range(1, 100))
    return lambda method: method == "run" and next(runs) in times


def descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


async def until(holds: Callable[[], object]) -> None:
    """What nobody announces is looked at until it holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def outcomes(report: Report) -> list[str]:
    return [result.outcome for result in report.results]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return written(tmp_path / "shop", SHOP)


async def test_a_candidate_is_tried_on_the_files_as_they_were_sent(shop: Path) -> None:
    near = Near("a")
    runner = remote(shop, near)
    await runner.start()
    (shop / "test_shop.py").write_text("def test_total():\n    assert False\n")
    assert outcomes(await runner.run(RIGHT, TEST)) == ["passed"]
    assert outcomes(await runner.run({}, TEST)) == ["failed"]
    warm = await runner.run(RIGHT, replace(TEST, cold=False))
    assert (outcomes(warm), warm.rung) == (["passed"], "swap")
    assert near.called[-3:] == ["shop.py::total", "test_shop.py::test_total", "shop.py::total"]
    await runner.close()


async def test_open_buffers_lie_over_every_run(shop: Path) -> None:
    runner = remote(shop, Near("a"), base=RIGHT)
    await runner.start()
    assert outcomes(await runner.run({}, TEST)) == ["passed"]
    await runner.close()


async def test_an_editable_install_leads_to_what_was_sent(tmp_path: Path) -> None:
    """The environment names the person's folder, which may not even be there."""
    root = written(tmp_path / "shop", {"src/shop.py": SHOP["shop.py"], "test_shop.py": SHOP["test_shop.py"]})
    python = replace(own_python(), path=environment(tmp_path / "venv", root / "src") / "bin/python")
    runner = remote(root, Near("a"), interpreter=python)
    await runner.start()
    (root / "src").rename(tmp_path / "gone")
    assert outcomes(await runner.run({"src/shop.py": RIGHT["shop.py"]}, TEST)) == ["passed"]
    await runner.close()


async def test_an_environment_inside_the_workspace_is_the_nodes_own(tmp_path: Path) -> None:
    root = written(tmp_path / "shop", {"src/shop.py": SHOP["shop.py"], "test_shop.py": SHOP["test_shop.py"]})
    python = replace(own_python(), path=environment(root / ".venv", root / "src") / "bin/python")
    runner = remote(root, Near("a"), interpreter=python)
    await runner.start()
    (root / "src").joinpath("shop.py").write_text("raise RuntimeError")
    assert outcomes(await runner.run({}, TEST)) == ["failed"]
    assert outcomes(await runner.run({"src/shop.py": RIGHT["shop.py"]}, TEST)) == ["passed"]
    await runner.close()


async def test_what_a_lost_node_ran_is_run_again_elsewhere(shop: Path) -> None:
    said: list[str] = []
    runner = remote(shop, Near("a", slots=2, lost=dies(1)), Near("b"), said=said)
    await runner.start()
    async with runner.pool._changed:  # whichever is ready first, the run goes to the one with more room
        await runner.pool._changed.wait_for(lambda: len(runner.pool.ready) == 2)
    assert outcomes(await runner.run(RIGHT, TEST)) == ["passed"]
    assert (runner.retries, said) == (1, ["a is gone; what ran there is run again"])
    await runner.close()


async def test_when_no_node_is_left_this_machine_runs_the_tests(shop: Path) -> None:
    said: list[str] = []
    runner = remote(shop, Near("a", lost=dies(1)), said=said)
    await runner.start()
    assert outcomes(await runner.run(RIGHT, TEST)) == ["passed"]
    assert said[-1] == "no node of the cluster is left; tests run on this machine"
    await runner.close()


async def test_a_run_that_ends_three_nodes_is_blamed_itself(shop: Path) -> None:
    runner = remote(shop, *(Near(str(n), lost=dies(1)) for n in range(4)))
    await runner.start()
    await until(lambda: len(runner.pool.ready) == 4)
    report = await runner.run(RIGHT, TEST)
    assert (report.fault, outcomes(report)) == ("died", ["missing"])
    assert outcomes(await runner.run(RIGHT, TEST)) == ["passed"], "the fourth goes on"
    await runner.close()


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no such interpreter": ({"path": Path("/nowhere/python")}, "it has no /nowhere/python"),
    "another Python": ({"version": "3.1.0"}, "here it is Python 3.1.0 with pytest"),
    "another pytest": ({"pytest_version": "1.0"}, "with pytest 1.0"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_node_with_other_versions_is_refused(case: str, shop: Path) -> None:
    changed, sentence = REFUSALS[case]
    runner = remote(shop, Near("a"), interpreter=replace(own_python(), **changed))
    with pytest.raises(Refused, match=sentence):
        await runner.start()


async def test_a_node_with_another_soa_is_refused(shop: Path) -> None:
    near = Near("a")
    runner = remote(shop, near)
    near.node = Node(1)
    near.node.versions = lambda: asyncio.sleep(0, "SoA 0.0.1 on Python 3.11.0")  # type: ignore[method-assign]
    with pytest.raises(Refused, match=r"it has SoA 0\.0\.1 on Python 3\.11\.0, here it is SoA"):
        await runner.start()


async def test_a_node_without_a_sandbox_is_refused_though_this_machine_may_go_without(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise NoSandbox("This machine offers no sandbox that holds.")

    runner = remote(shop, Near("a"), tests=TestSettings(sandbox="scrubbed"))
    monkeypatch.setattr("soa_agents.verify.cold.choose", none)
    with pytest.raises(Refused, match="a: This machine offers no sandbox"):
        await runner.start()


async def test_a_cancelled_run_leaves_nothing_and_a_closed_node_no_file(shop: Path) -> None:
    (shop / "test_shop.py").write_text("import time\n\n\ndef test_total():\n    time.sleep(60)\n")
    near = Near("a")
    runner = remote(shop, near)
    await runner.start()
    run = asyncio.ensure_future(runner.run(RIGHT, TEST))
    before = descendants()
    await until(lambda: descendants() - before)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    home = near.node._home.folder  # type: ignore[union-attr]
    assert home.exists()
    await runner.close()
    assert not descendants() - before
    assert not home.exists()


def test_what_a_killed_node_left_is_cleared_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = "import os; from soa_agents.remote.node import Node; Node(1); os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.glob("soa-nodes-*/*")
    alive = Node(1)
    another = Node(1)
    assert not left.exists()
    assert alive._home.folder.exists(), "who still runs keeps what is theirs"
    for each in (alive, another):
        asyncio.run(each.close())


# Addresses


@pytest.mark.parametrize("address", ["nowhere", "ray://127.0.0.1:1", "127.0.0.1:x", ":1"])
async def test_an_address_that_is_none_is_said_so(address: str, shop: Path) -> None:
    with pytest.raises(UsageError, match="--ray must be HOST:PORT"):
        await on_cluster(address, remote(shop).here, lambda _: None)


async def test_where_nobody_answers_is_said_so(shop: Path) -> None:
    with pytest.raises(Refused, match=r"No Ray cluster can be joined at 127\.0\.0\.1:9"):
        await on_cluster("127.0.0.1:9", remote(shop).here, lambda _: None)


async def test_without_ray_one_sentence_tells_to_install_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'soa-language-server\[ray\]'"):
        await on_cluster("127.0.0.1:9", remote(shop).here, lambda _: None)
