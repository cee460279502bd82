"""What the models without a server hold: scripts and recordings answer by the prompt alone, prices are exact,
and the search for local servers suggests only what answers."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_server import Answer, OpenAIServer, asked, scripted
from soa_agents.errors import ModelError
from soa_agents.models.discovery import LocalServer, local_servers
from soa_agents.models.metered import estimate_tokens, one_call
from soa_agents.models.port import Message, Model, Prompt, Reply, Step, Usage
from soa_agents.models.recorded import RecordedModel, Recording, RecordingModel
from soa_agents.models.scripted import ScriptedModel
from soa_agents.settings import Price


def prompt(target: str = "a.py::f", step: Step = "code", text: str = "write") -> Prompt:
    message = Message("user", f"{text}\n\nTarget: {target}\nStep: {step}")
    return Prompt((message,), target, step)


SCRIPT = {"a.py::f": {"code": ["one", "two"]}, "*": {"code": ["any"], "feedback": ["well"]}}


async def said(model: Model, *prompts: Prompt) -> list[str]:
    return [(await model.ask(p)).text for p in prompts]


async def test_a_script_answers_by_target_and_step_in_order() -> None:
    model = ScriptedModel(SCRIPT)
    asked_for = [prompt(text="1"), prompt("b.py::g"), prompt(text="2"), prompt(step="feedback")]
    assert await said(model, *asked_for) == ["one", "any", "two", "well"]
    assert model.asked == asked_for


async def test_a_script_gives_the_same_prompt_the_same_reply() -> None:
    model = ScriptedModel(SCRIPT)
    assert await said(model, prompt(), prompt(), prompt(text="more"), prompt()) == [
        "one",
        "one",
        "two",
        "one",
    ]


async def test_a_script_that_runs_out_says_where() -> None:
    model = ScriptedModel({"*": {"code": ["only"]}})
    await model.ask(prompt(text="1"))
    with pytest.raises(ModelError, match=r"has 1 replies for step code of a\.py::f"):
        await model.ask(prompt(text="2"))


async def test_a_scripted_reply_may_say_how_it_ended() -> None:
    cut = Reply("def f(", "length", Usage(1, 10, 0, 5))
    assert await ScriptedModel({"*": {"code": [cut]}}).ask(prompt()) == cut


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tmp_path / "recording.jsonl"


def written(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def record(path: Path, *prompts: Prompt) -> list[Reply]:
    replies = [Reply(f"reply {n}\u2028\r\né", "stop", Usage(1, n, 0, n, 0.5), "m") for n in range(9)]
    model = RecordingModel(
        ScriptedModel({"*": {"code": replies}}), path, "a model", today=lambda: "2026-01-02"
    )
    return [await model.ask(p) for p in prompts]


async def test_a_recording_says_what_spoke_and_keeps_no_prompt(recording: Path) -> None:
    await record(recording, prompt(text="the workspace's code"))
    first, call = (json.loads(line) for line in written(recording).split("\n")[:2])
    assert first == {"soa_recording": 1, "recorded_from": "a model", "date": "2026-01-02"}
    assert {"digest", "target", "step", "text", "usage", "model", "date"} <= set(call)
    assert "the workspace's code" not in written(recording)
    assert RecordedModel(recording).recording == Recording("a model", "2026-01-02")


async def test_a_recording_is_replayed_by_prompt_whatever_the_order(recording: Path) -> None:
    prompts = [prompt(text=str(n)) for n in range(4)]
    replies = await record(recording, *prompts[:2])
    replies += await record(recording, *prompts[:2])  # appended, as after a restart: the first ones stay
    replayed = RecordedModel(recording)
    assert [await replayed.ask(p) for p in (prompts[1], prompts[0], prompts[1])] == [
        replies[i] for i in (1, 0, 1)
    ]
    assert written(recording).count("soa_recording") == 1


async def test_other_prompts_get_the_next_reply_for_their_target_and_step(recording: Path) -> None:
    first, second = await record(recording, prompt(text="1"), prompt(text="2"))
    replayed = RecordedModel(recording)
    assert await replayed.ask(prompt(text="1")) == first
    changed = prompt(text="2, in other words")
    assert [await replayed.ask(changed), await replayed.ask(changed)] == [second, second]
    with pytest.raises(
        ModelError, match=r"recording\.jsonl holds no further reply for step code of a\.py::f"
    ):
        await replayed.ask(prompt(text="3"))
    with pytest.raises(ModelError, match=r"step code of b\.py::g"):
        await replayed.ask(prompt("b.py::g"))


NO_RECORDINGS = {
    "empty": "",
    "no JSON": "hello\n",
    "another file": '{"a": 1}\n',
    "another version": '{"soa_recording": 9, "recorded_from": "x", "date": "y"}\n',
}


@pytest.mark.parametrize("text", [*NO_RECORDINGS.values(), None], ids=[*NO_RECORDINGS, "missing"])
def test_a_file_that_is_no_recording_is_one_sentence(text: str | None, recording: Path) -> None:
    if text is not None:
        recording.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"recording\.jsonl .*\.$"):
        RecordedModel(recording)


@given(st.text(), st.text())
def test_the_estimate_grows_with_the_text(a: str, b: str) -> None:
    whole, parts = estimate_tokens(a + b), estimate_tokens(a) + estimate_tokens(b)
    assert max(estimate_tokens(a), estimate_tokens(b)) <= whole <= parts <= whole + 1
    assert estimate_tokens(a) * 3 >= len(a.encode("utf-8", "surrogatepass"))


COSTS = [
    (Price(1.0, 2.0), (1_000_000, 0, 0), 1.0),
    (Price(1.0, 2.0), (0, 1_000_000, 0), 2.0),
    (Price(1.0, 2.0), (1_000_000, 0, 500_000), 1.0),
    (Price(1.0, 2.0, 0.1), (1_000_000, 0, 500_000), 0.55),
    (Price(1.0, 2.0, 0.0), (10, 0, 20), 0.0),  # a server that counts more cached tokens than tokens
    (None, (10, 20, 0), None),
]


@pytest.mark.parametrize(("price", "tokens", "cost"), COSTS)
def test_the_price_of_a_call(price: Price | None, tokens: tuple[int, int, int], cost: float | None) -> None:
    usage = one_call(*tokens, price)
    assert usage.cost_usd == pytest.approx(cost) if cost is not None else usage.cost_usd is None
    assert usage.calls == 1 and usage.cached_tokens <= usage.input_tokens


async def test_local_servers_are_those_that_list_models() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        page = Answer(body="<html>", content_type="text/html")
        with (
            OpenAIServer(models=("a", "b")) as good,
            OpenAIServer(models=page) as web,
            OpenAIServer(models=Answer(hold=threading.Event())) as slow,
            OpenAIServer(models=Answer(status=500)) as broken,
        ):
            places = [("good", good.base_url), ("web", web.base_url), ("slow", slow.base_url)]
            places += [("broken", broken.base_url), ("silent", silent)]
            found = await local_servers(tuple(places))
            assert found == (LocalServer("good", good.base_url, ("a", "b")),)


def test_the_test_server_reads_target_and_step_of_the_last_user_message() -> None:
    def chat(*texts: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": text} for text in texts]}

    answer = scripted(SCRIPT)
    quoted = "    Target: x.py::x\n    Step: modify\n\nTarget: a.py::f\nStep: code"
    assert asked(chat(quoted)) == ("a.py::f", "code")
    assert [answer(chat("", quoted)).text for _ in range(3)] == ["one", "two", "two"]
    assert answer(chat("Target: b.py::g\nStep: feedback\n")).text == "well"
    assert answer(chat("nothing")).status == 400
