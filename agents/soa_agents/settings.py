"""The settings of a job: frozen, typed, defaulted. The front ends parse them, the engine only reads them.

And the one place where everything lies that is kept between jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_state_path


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float | None = None  # as `input` when not given


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model, where. The key itself is never a setting; `api_key_env` names its variable."""

    name: str = ""
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    provider: Literal["openai", "editor"] = "openai"
    context_tokens: int = 16_000
    price: Price | None = None


ENOUGH_FOR = 4  # functions that the usual limits of a job are meant for


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a job stops. `depth` 1 is a Mother alone; 2 gives her Children."""

    depth: int = 2
    rounds: int = 5
    calls: int = 60
    agents: int = 24
    tokens: int = 400_000
    cost_usd: float | None = None
    seconds: float = 900.0
    parallel: int = 8
    memory_mb: int = 4096
    given: tuple[str, ...] = ()  # the names of those that somebody set, also to their usual value

    def shared_by(self, functions: int) -> Limits:
        """The limits of a job of so many functions: what nobody set is enough for `ENOUGH_FOR` of them, and
        grows with more; what somebody set holds for the job as a whole."""
        times = max(1.0, functions / ENOUGH_FOR)
        growing = {"calls", "agents", "tokens", "seconds"}.difference(self.given)
        grown: dict[str, Any] = {name: type(v := getattr(self, name))(v * times) for name in growing}
        return replace(self, **grown)


@dataclass(frozen=True, slots=True)
class TestSettings:
    """How the workspace's tests are run."""

    __test__ = False

    interpreter: str = ""
    args: tuple[str, ...] = ()
    timeout_seconds: float = 30.0
    sandbox: Literal["strict", "scrubbed"] = "strict"
    run_on_save: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a job reads. The editor-only settings live in the front end."""

    model: ModelSettings = field(default_factory=ModelSettings)
    limits: Limits = field(default_factory=Limits)
    tests: TestSettings = field(default_factory=TestSettings)
    protocol: str = "auto"
    index_exclude: tuple[str, ...] = ()


def state_folder() -> Path:
    """Where ledgers, consents, kept diffs and caches of this user live; never inside a workspace."""
    return user_state_path("soa-language-server", appauthor=False)
