"""Where a model's server is, with which key, and what may be shown of it. Pure."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from soa_agents.errors import KeyRefused, ModelUnreachable, NoModel
from soa_agents.settings import ModelSettings

OPENAI_URL = "https://api.openai.com/v1"  # where a key without an address goes
NOT_CONFIGURED = (
    "No model is configured. Set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server, then SOA_MODEL; "
    "`soa doctor` shows what was found."
)
SET_URL = "OPENAI_BASE_URL (or soa.model.baseUrl)"
_QUOTED_AT_MOST = 200  # characters of a server's own words


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server that is asked, and the key, which `quoted` keeps out of every sentence."""

    base_url: str
    key_env: str = "OPENAI_API_KEY"
    key: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address without user name, password and query."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")

    @property
    def address(self) -> str:
        """The address without user name and password, as requests need it."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def login(self) -> dict[str, str]:
        """The header that says user name and password of the address, where it has them; before the key."""
        parts = urlsplit(self.base_url)
        if "@" not in parts.netloc:
            return {}
        said = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {b64encode(said.encode()).decode()}"}

    @property
    def is_local(self) -> bool:
        """Whether it is plain HTTP on this machine, where no proxy reaches it."""
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host in ("localhost", "::1") or host.startswith("127."))

    def quoted(self, body: object) -> str:
        """What the server said, on one line, cut, without the key; empty when it said nothing readable."""
        words = " ".join(message_of(body).split())
        if self.key:
            words = words.replace(self.key, "…")
        return words if len(words) <= _QUOTED_AT_MOST else words[:_QUOTED_AT_MOST] + "…"


def endpoint_of(settings: ModelSettings, key: str | None) -> Endpoint:
    """The endpoint that the settings name.

    Raises `NoModel` when neither an address nor a key is given, `ModelUnreachable` when the address is none,
    `KeyRefused` when the key cannot be one.
    """
    key = (key or "").strip()
    base_url = settings.base_url.strip()
    if not base_url and not key:
        raise NoModel(NOT_CONFIGURED)
    if not (key.isascii() and key.isprintable()) or " " in key:
        # The SDK would fail on the header, with the key in its message.
        raise KeyRefused(
            f"{settings.api_key_env} holds something that cannot be a key. Copy the key again, on one line."
        )
    try:
        parts = urlsplit(base_url or OPENAI_URL)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # The text is not repeated when it may hold a password.
        shown = "The base URL" if "@" in base_url else repr(base_url)
        raise ModelUnreachable(
            f"{shown} is no address of a model's server. Write {SET_URL} like http://localhost:11434/v1."
        )
    return Endpoint(base_url or OPENAI_URL, settings.api_key_env, key)


def message_of(body: object) -> str:
    """The server's own sentence, out of the shapes that servers use; a web page is not repeated."""
    if isinstance(body, dict):
        for name in ("message", "msg", "detail", "error"):
            if body.get(name):
                return message_of(body[name])
        return ""
    if isinstance(body, list):
        return "; ".join(message_of(item) for item in body)
    return "" if not isinstance(body, str) or body.lstrip().startswith("<") else body
