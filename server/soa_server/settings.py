"""Settings of both front ends: layers in, one frozen value and the problems found out.

The layers, highest first: command-line flags, the client's settings, the environment, the user's
`config.toml`, `[tool.soa]` of the workspace's pyproject.toml, defaults. Keys are those of the design,
camelCase, below the section `soa`; nested or dotted, with or without the `soa` key. An empty string or
null counts as not given, because editors send the defaults of their settings pages that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import platformdirs
from soa_agents.settings import Limits, ModelSettings, Price, Settings, TestSettings

APP = "soa"
PROTOCOLS = (
    *("auto", "mother_child", "single", "planner_worker"),
    *("sequential", "coordinator", "broadcast", "shared"),
)
_TEAM = re.compile(
    r"(sequential|coordinator|broadcast|shared):[1-9]\d{0,3}|sequential:[1-9]\d{0,3}x[1-9]\d{0,3}"
)

Preview = Literal["auto", "always", "never"]
Read = Callable[[object], object]  # raises ValueError saying what was expected


class EditorSettings(NamedTuple):
    """What only an editor needs. `preview` `auto` shows a preview of what was not proven."""

    preview: Preview = "auto"
    code_lens_enabled: bool = True
    code_actions_enabled: bool = True


class Problem(NamedTuple):
    """A key that was not taken, and one sentence for a person that names it."""

    key: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Layers:
    """Where settings come from. `folder` is the workspace folder, None when there is none.

    `options` are an editor's initializationOptions, right below its settings in `client`.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    user_file: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the layers say together.

    `sandbox_consent` is true when a person asked for `tests.sandbox = "scrubbed"` by flag or user file; from
    an editor or a workspace it needs a consent of its own.
    """

    settings: Settings = field(default_factory=Settings)
    editor: EditorSettings = field(default_factory=EditorSettings)
    problems: tuple[Problem, ...] = ()
    sandbox_consent: bool = False


def user_file() -> Path:
    """The user's settings file; it need not exist."""
    return platformdirs.user_config_path("soa-language-server", appauthor=False) / "config.toml"


def resolve(layers: Layers) -> Resolved:
    """Lay the layers over each other. A wrong value becomes a problem and the layer below holds."""
    problems: list[Problem] = []
    user = _toml(layers.user_file, problems)
    read = {
        "flags": _values(_nested(layers.flags), problems, "the command line"),
        "client": _values(_nested(layers.client), problems, "the editor's settings"),
        "options": _values(_nested(layers.options), problems, "the editor's settings"),
        "environ": _values(_environment(layers.environ), problems, "the environment"),
        "user": _values(_nested(user), problems, str(layers.user_file), strict=True),
    }
    for name in ("client", "options"):  # what stands untouched on a settings page was set by nobody
        found = read[name].items()
        read[name] = {k: v for k, v in found if not k.startswith("limits.") or v != _default(k)}
    values: dict[str, object] = {}
    for name in ("user", "environ", "options", "client", "flags"):
        values.update(read[name])
    values = {**_project(layers.folder, problems), **values}
    consent = "scrubbed" in (read["flags"].get("tests.sandbox"), read["user"].get("tests.sandbox"))
    return Resolved(_settings(values), _editor(values), tuple(dict.fromkeys(problems)), consent)


# -- reading one value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value.strip()


def _url(value: object) -> object:
    """Kept even where it is no address, for the job to refuse: code goes nowhere else instead."""
    if not isinstance(value, str):
        raise ValueError("an address like http://localhost:11434/v1")
    return value.strip().rstrip("/")


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _whole(least: int) -> Read:
    def read(value: object) -> object:
        if isinstance(value, float) and value.is_integer():  # JSON of some editors writes 5.0
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a whole number of at least {least}")
        return value

    return read


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("a number above 0")
    return float(value)


def _texts(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _one_of(*choices: str) -> Read:
    def read(value: object) -> object:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return value

    return read


def is_protocol(value: object) -> bool:
    """Whether that names a protocol: one of the table, or a team with its size (`sequential:8`)."""
    return value in PROTOCOLS or (isinstance(value, str) and _TEAM.fullmatch(value) is not None)


def _protocol(value: object) -> object:
    if not is_protocol(value):
        raise ValueError("one of " + ", ".join(PROTOCOLS))
    return value


def _price(value: object) -> object:
    expected = (
        "an object with the numbers input and output, and optionally cached (US dollars a million tokens)"
    )
    if not isinstance(value, Mapping) or not {"input", "output"} <= set(value) <= {
        "input",
        "output",
        "cached",
    }:
        raise ValueError(expected)
    given = {name: number for name, number in value.items() if number is not None}
    if any(isinstance(n, bool) or not isinstance(n, int | float) or n < 0 for n in given.values()):
        raise ValueError(expected)
    return Price(**{name: float(number) for name, number in given.items()})


KEYS: Mapping[str, Read] = {
    "model.name": _text,
    "model.baseUrl": _url,
    "model.apiKeyEnv": _text,
    "model.provider": _one_of("openai", "editor"),
    "model.contextTokens": _whole(1000),
    "model.price": _price,
    "protocol": _protocol,
    "limits.depth": _whole(1),
    "limits.rounds": _whole(0),
    "limits.calls": _whole(1),
    "limits.agents": _whole(1),
    "limits.tokens": _whole(1),
    "limits.costUsd": _amount,
    "limits.seconds": _amount,
    "limits.parallel": _whole(1),
    "limits.memoryMb": _whole(64),
    "tests.interpreter": _text,
    "tests.args": _texts,
    "tests.timeoutSeconds": _amount,
    "tests.sandbox": _one_of("strict", "scrubbed"),
    "tests.runOnSave": _flag,
    "preview": _one_of("auto", "always", "never"),
    "codeLens.enabled": _flag,
    "codeActions.enabled": _flag,
    "index.exclude": _texts,
}

# What a workspace may say about itself: nothing that names programs, endpoints or keys.
PROJECT_KEYS = frozenset({"protocol", "tests.args", "tests.timeoutSeconds", "index.exclude"})


# -- layers


def _nested(data: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys opened up, a `soa` key folded in."""
    tree = _opened(data)
    section = tree.pop(APP, None)
    if isinstance(section, dict):
        _merge(tree, section)
    return tree


def _opened(data: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in data.items():
        *parents, last = [part for part in key.split(".") if part] or [key]
        if isinstance(value, Mapping):
            value = _opened(value)
        place = tree
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        if isinstance(value, dict) and isinstance(place.get(last), dict):
            _merge(place[last], value)
        else:
            place[last] = value
    return tree


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict) and key not in KEYS:
            yield from _leaves(value, key + ".")
        else:
            yield key, value


def _values(
    tree: Mapping[str, Any], problems: list[Problem], where: str, *, strict: bool = False
) -> dict[str, object]:
    """The readable values of a layer. `strict` also reports keys that are no settings (editors have more)."""
    values: dict[str, object] = {}
    for key, value in _leaves(tree):
        if value is None or value == "":
            continue
        read = KEYS.get(key)
        if read is None:
            if strict:
                problems.append(Problem(key, f"soa.{key} in {where} is not a setting; it was ignored."))
            continue
        try:
            values[key] = read(value)
        except ValueError as expected:
            sentence = f"soa.{key} in {where} must be {expected}, not {value!r}; it was ignored."
            problems.append(Problem(key, " ".join(sentence.split())))
    return values


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    return {"model": {"baseUrl": environ.get("OPENAI_BASE_URL", ""), "name": environ.get("SOA_MODEL", "")}}


def _toml(path: Path | None, problems: list[Problem]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
        import tomllib  # not before there is such a file

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        problems.append(Problem(path.name, f"{path} cannot be read ({reason}); its settings were ignored."))
        return {}


def _project(folder: Path | None, problems: list[Problem]) -> dict[str, object]:
    """What the workspace's pyproject.toml may say; limits count only where they are below the default."""
    if folder is None:
        return {}
    path = folder / "pyproject.toml"
    tool = _toml(path, problems).get("tool")
    section = tool.get(APP) if isinstance(tool, dict) else None
    if not isinstance(section, dict):
        return {}
    values: dict[str, object] = {}
    for key, value in _values(_opened(section), problems, str(path), strict=True).items():
        if key.startswith("limits."):
            highest = _default(key)
            if highest is not None and float(str(value)) > highest:
                sentence = f"soa.{key} in {path} may only lower the limit of {highest:g}; it was ignored."
                problems.append(Problem(key, sentence))
                continue
        elif key not in PROJECT_KEYS:
            sentence = f"soa.{key} is not taken from {path}, a workspace may not set it; use {user_file()}."
            problems.append(Problem(key, sentence))
            continue
        values[key] = value
    return values


# -- building the values


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def _default(key: str) -> float | None:
    number = getattr(Limits(), _snake(key.partition(".")[2]))
    return None if number is None else float(number)


def _part(values: Mapping[str, object], section: str) -> dict[str, Any]:
    return {
        _snake(key.removeprefix(section)): value for key, value in values.items() if key.startswith(section)
    }


def _settings(values: Mapping[str, object]) -> Settings:
    return Settings(
        model=ModelSettings(**_part(values, "model.")),
        limits=Limits(**(limits := _part(values, "limits.")), given=tuple(sorted(limits))),
        tests=TestSettings(**_part(values, "tests.")),
        protocol=str(values.get("protocol", "auto")),
        index_exclude=_strings(values.get("index.exclude")),
    )


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, Sequence) else ()


def _editor(values: Mapping[str, object]) -> EditorSettings:
    preview: Any = values.get("preview", "auto")
    return EditorSettings(
        preview=preview,
        code_lens_enabled=bool(values.get("codeLens.enabled", True)),
        code_actions_enabled=bool(values.get("codeActions.enabled", True)),
    )
