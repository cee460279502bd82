"""Holds: the layers of the settings, every spelling of a key, and that a wrong value costs one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.errors import ModelUnreachable
from soa_agents.models.endpoint import endpoint_of
from soa_agents.protocols import TABLE, choose
from soa_agents.settings import Price, Settings
from soa_server.settings import KEYS, PROTOCOLS, Layers, Resolved, resolve

ROOT = Path(__file__).parents[2]


def value(resolved: Resolved, key: str) -> Any:
    """The resolved value of a dotted attribute path."""
    here: Any = resolved.settings
    for name in key.split("."):
        here = getattr(here, name)
    return here


def write(folder: Path, user: str = "", project: str = "") -> Layers:
    (folder / "config.toml").write_text(user)
    (folder / "pyproject.toml").write_text(project)
    return Layers(user_file=folder / "config.toml", folder=folder)


@pytest.mark.parametrize(
    "given_settings",
    [
        {"soa": {"model": {"name": "m"}, "limits": {"calls": 7}}},
        {"model": {"name": "m"}, "limits": {"calls": 7}},
        {"soa.model.name": "m", "soa.limits.calls": 7},
        {"model.name": "m", "limits": {"calls": 7.0}},
        {"soa": {"model.name": "m", "limits.calls": 7}, "clientSupports": ["secret"]},
        {"soa.model": {"name": "m"}, "soa": {"limits": {"calls": 7}}},
    ],
)
def test_every_spelling_of_a_key_is_read(given_settings: dict[str, Any]) -> None:
    resolved = resolve(Layers(client=given_settings))
    assert (value(resolved, "model.name"), value(resolved, "limits.calls")) == ("m", 7)
    assert resolved.problems == ()


def test_a_higher_layer_wins(tmp_path: Path) -> None:
    layers = write(
        tmp_path,
        user='protocol = "single"\n[model]\nname = "user"\nbaseUrl = "http://user/v1"\napiKeyEnv = "U"',
        project='[tool.soa]\nprotocol = "mother_child"\n[tool.soa.tests]\nargs = ["-q"]',
    )
    layers = Layers(
        flags={"model.name": "flag"},
        client={"model": {"name": "client", "baseUrl": "http://client/v1"}},
        environ={"SOA_MODEL": "environ", "OPENAI_BASE_URL": "http://environ/v1", "OPENAI_API_KEY": "k"},
        user_file=layers.user_file,
        folder=tmp_path,
    )
    resolved = resolve(layers)
    assert resolved.problems == ()
    assert resolved.settings.model.name == "flag"
    assert resolved.settings.model.base_url == "http://client/v1"
    assert resolved.settings.model.api_key_env == "U"
    assert resolved.settings.protocol == "single"
    assert resolved.settings.tests.args == ("-q",)


def test_what_an_editor_leaves_empty_does_not_hide_the_layers_below() -> None:
    resolved = resolve(
        Layers(
            client={"model": {"name": "", "price": None}, "limits": {"costUsd": None}},
            environ={"SOA_MODEL": "e"},
        )
    )
    assert resolved.settings.model.name == "e"
    assert resolved.problems == ()


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("model.name", 3),
        ("model.baseUrl", 8080),
        ("model.provider", "other"),
        ("model.contextTokens", 0),
        ("model.price", {"input": 1}),
        ("model.price", {"input": 1, "output": "2"}),
        ("protocol", "anarchy"),
        ("limits.depth", 0),
        ("limits.calls", "60"),
        ("limits.calls", True),
        ("limits.seconds", -1),
        ("limits.costUsd", 0),
        ("tests.args", "-q"),
        ("tests.args", [1]),
        ("tests.sandbox", "none"),
        ("tests.runOnSave", 1),
        ("preview", True),
        ("codeLens.enabled", "yes"),
        ("limits.memoryMb", {}),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_key_and_the_default_holds(
    key: str, wrong: object
) -> None:
    resolved = resolve(Layers(client={key: wrong}))
    (problem,) = resolved.problems
    assert problem.key == key
    assert f"soa.{key}" in problem.sentence
    assert "\n" not in problem.sentence
    assert resolved.settings == Settings()
    assert resolved.editor == Resolved().editor


def test_what_is_no_address_is_kept_for_the_job_to_refuse() -> None:
    """The default would be another server than the one that was meant, and code would go there."""
    resolved = resolve(Layers(environ={"OPENAI_BASE_URL": "localhost:8080/"}))
    assert resolved.settings.model.base_url == "localhost:8080"
    with pytest.raises(ModelUnreachable, match="Write OPENAI_BASE_URL"):
        endpoint_of(resolved.settings.model, "sk-key")


@pytest.mark.parametrize(
    ("project", "problem_key"),
    [
        ('[tool.soa.model]\nbaseUrl = "http://evil/v1"', "model.baseUrl"),
        ('[tool.soa.tests]\ninterpreter = "./evil"', "tests.interpreter"),
        ('[tool.soa.tests]\nsandbox = "scrubbed"', "tests.sandbox"),
        ("[tool.soa.limits]\ncalls = 61", "limits.calls"),
        ("[tool.soa.limits]\ncals = 6", "limits.cals"),
        ("[tool.soa\n", "pyproject.toml"),
    ],
)
def test_a_workspace_may_not_name_programs_endpoints_or_higher_limits(
    tmp_path: Path, project: str, problem_key: str
) -> None:
    resolved = resolve(write(tmp_path, project=project))
    assert resolved.settings == Settings()
    assert [p.key for p in resolved.problems] == [problem_key]


@pytest.mark.parametrize(
    ("layers", "calls"),
    [
        ({}, 120),  # eight functions, twice as many as the usual limits are meant for
        ({"flags": {"limits.calls": 60}}, 60),
        ({"client": {"limits.calls": 60}}, 120),  # a settings page that nobody touched says so, too
        ({"client": {"limits.calls": 59}}, 59),
        ({"client": {"limits.calls": 60}, "project": "[tool.soa.limits]\ncalls = 50"}, 50),
        ({"project": "[tool.soa.limits]\ncalls = 60"}, 60),
    ],
)
def test_a_limit_grows_with_the_functions_of_a_job_unless_somebody_set_it(
    tmp_path: Path, layers: dict[str, Any], calls: int
) -> None:
    files = write(tmp_path, project=layers.get("project", ""))
    resolved = resolve(replace(files, **{name: layers[name] for name in layers if name != "project"}))
    assert resolved.settings.limits.shared_by(8).calls == calls


def test_a_workspace_may_lower_limits_and_shape_its_tests(tmp_path: Path) -> None:
    layers = write(
        tmp_path, project="[tool.soa]\nlimits.calls = 9\nlimits.costUsd = 0.5\ntests.timeoutSeconds = 90"
    )
    resolved = resolve(layers)
    assert resolved.problems == ()
    assert (value(resolved, "limits.calls"), value(resolved, "limits.cost_usd")) == (9, 0.5)
    assert resolved.settings.tests.timeout_seconds == 90.0


@pytest.mark.parametrize(
    ("layers", "consent"),
    [
        (Layers(flags={"tests.sandbox": "scrubbed"}), True),
        (Layers(client={"tests.sandbox": "scrubbed"}), False),
        (Layers(), False),
    ],
)
def test_only_flag_and_user_file_are_a_consent_to_go_without_a_sandbox(layers: Layers, consent: bool) -> None:
    assert resolve(layers).sandbox_consent is consent


def test_price_and_editor_settings_are_read() -> None:
    client = {
        "model": {"price": {"input": 1, "output": 2.5}},
        "preview": "never",
        "codeActions": {"enabled": False},
        "codeLens.enabled": False,
    }
    resolved = resolve(Layers(client=client))
    assert resolved.settings.model.price == Price(1.0, 2.5)
    editor = resolved.editor
    assert (editor.preview, editor.code_actions_enabled, editor.code_lens_enabled) == ("never", False, False)


SCALARS = st.sampled_from([None, True, 0, 3, 1.5, float("nan"), "", "auto", "single", "http://h"])
JSON = SCALARS | st.lists(SCALARS, max_size=2)
NAMES = st.sampled_from([*KEYS, *{k.partition(".")[0] for k in KEYS}, "soa", "soa.model", ""])


@given(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=4))
def test_no_settings_whatever_raise(client: dict[str, Any]) -> None:
    problems = resolve(Layers(client=client)).problems
    assert all(problem.key and "\n" not in problem.sentence for problem in problems)


def test_every_protocol_can_be_set_and_teams_may_say_their_size() -> None:
    assert set(PROTOCOLS) == {"auto", *TABLE}
    offered = json.loads((ROOT / "vscode-extension/package.json").read_text())["contributes"]["configuration"]
    sections = offered if isinstance(offered, list) else [offered]
    (listed,) = [s["properties"]["soa.protocol"] for s in sections if "soa.protocol" in s["properties"]]
    assert tuple(listed["enum"]) == PROTOCOLS
    for name in (*PROTOCOLS, "sequential:8", "sequential:8x2", "shared:3"):
        assert resolve(Layers(client={"soa": {"protocol": name}})).settings.protocol == name
        choose(name)
