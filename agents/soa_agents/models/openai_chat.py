"""Any OpenAI-compatible chat, streamed. The only module that imports `openai`; import it late, it is slow.

Invariants: nothing is sent to an address that nobody named (redirects are refused); when a call is cancelled
its connection is closed, so no token is generated unread; the key stands in no log and in no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httpx2
import openai

from soa_agents.errors import CallFailed, KeyRefused, ModelError, NoModel
from soa_agents.models import faults
from soa_agents.models.faults import Endpoint
from soa_agents.models.port import Prompt, Reply
from soa_agents.models.reading import Gathered, model_names
from soa_agents.settings import ModelSettings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

OPENAI_URL = "https://api.openai.com/v1"  # where a key without an address goes
CONNECT_SECONDS = 10.0

# At lower levels these write bodies and addresses, whatever OPENAI_LOG says.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class OpenAIChat:
    """A `Model` behind chat completions. `key` is None for servers that want none.

    `parameters` (`temperature`, `max_tokens`, …) go along until the server refuses one by name; that one is
    then left out for good. `idle_seconds` bounds the silence between two tokens, never the whole reply;
    before the first token it counts only while the server is silent towards every call, since small servers
    queue them. `retries` is how often a call is repeated, with backoff, after 429, 5xx or a lost connection.

    Raises `NoModel` when neither an address nor a key is given, `ModelUnreachable` when the address is none,
    `KeyRefused` when the key cannot be one.
    """

    def __init__(
        self,
        settings: ModelSettings,
        key: str | None,
        *,
        parameters: Mapping[str, float] | None = None,
        idle_seconds: float = 120.0,
        retries: int = 3,
    ) -> None:
        self._endpoint = endpoint = _endpoint(settings, key)
        self._name = settings.name
        self._price = settings.price
        self._optional: dict[str, Any] = {
            "stream": True,
            "stream_options": {"include_usage": True},
            **(parameters or {}),
        }
        self._idle = idle_seconds
        self._http = _PatientClient(endpoint, idle_seconds)
        self._client = openai.AsyncOpenAI(
            # Never empty: the SDK would look into the environment by itself.
            api_key=endpoint.key or "no-key-needed",
            base_url=endpoint.base_url,
            max_retries=retries,
            http_client=self._http,
        )

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask once. Raises `ModelError` when no call can succeed, `CallFailed` when this one did not."""
        name = self._name or await self.only_model()
        while True:
            sent = dict(self._optional)
            try:
                return await self._call(name, prompt, sent)
            except openai.APIStatusError as error:
                refused = faults.named_parameter(error.body, tuple(sent))
                if error.status_code not in (400, 422) or refused is None:
                    raise await self._refusal(error, name) from None
                self._drop(refused)
            except openai.APIConnectionError as error:
                raise faults.unreachable(self._endpoint, error) from None

    async def models(self) -> tuple[str, ...]:
        """The names that the server lists, in its order. Raises `ModelError` or `CallFailed`."""
        try:
            listed = await self._client.get("/models", cast_to=object)
        except openai.APIStatusError as error:
            raise faults.refusal(self._endpoint, error.status_code, error.body) from None
        except openai.APIConnectionError as error:
            raise faults.unreachable(self._endpoint, error) from None
        except ValueError:
            raise faults.lost(self._endpoint, "lists its models in a form that is no JSON") from None
        if isinstance(listed, str):
            raise faults.web_page(self._endpoint)
        return model_names(listed)

    async def only_model(self) -> str:
        """The model to ask when none is named: the only one. Raises `NoModel` with a list otherwise."""
        if not self._name:
            try:
                names = await self.models()
            except CallFailed:
                names = ()
            if len(names) != 1:
                raise faults.undecided(self._endpoint, names)
            self._name = names[0]
        return self._name

    async def aclose(self) -> None:
        """Close every connection; the object cannot be used afterwards."""
        await self._client.close()

    async def _call(self, name: str, prompt: Prompt, sent: dict[str, Any]) -> Reply:
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        # The optional parameters travel as `extra_body`, `stream` too: the SDK then leaves the response to
        # us, and a server that answers a plain object although a stream was asked for is understood.
        async with self._client.chat.completions.with_streaming_response.create(
            model=name, messages=cast("list[ChatCompletionMessageParam]", messages), extra_body=sent
        ) as response:
            gathered = await self._read(response.http_response)
        return gathered.reply(prompt, self._price, name)

    async def _read(self, response: httpx2.Response) -> Gathered:
        gathered = Gathered(self._endpoint)
        clock = asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(self._idle) as limit,
                contextlib.aclosing(self._parts(response)) as parts,
            ):
                async for part in parts:
                    limit.reschedule(clock() + self._idle)
                    self._http.heard()
                    gathered.add(part)
        except TimeoutError:
            raise faults.lost(self._endpoint, f"fell silent for {self._idle:g} s in its reply") from None
        except (openai.APIConnectionError, httpx2.HTTPError):
            raise faults.lost(self._endpoint, "broke off its reply") from None
        except openai.APIError as error:
            raise faults.refusal(self._endpoint, 400, error.body) from None
        except ValueError:
            raise faults.lost(self._endpoint, "sent something that is no chat completion") from None
        return gathered

    async def _parts(self, response: httpx2.Response) -> AsyncGenerator[object, None]:
        """The chunks of a stream, or one whole completion; None is a sign of life only."""
        if "text/event-stream" in response.headers.get("content-type", ""):
            async for chunk in openai.AsyncStream(cast_to=object, response=response, client=self._client):
                yield chunk
            return
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            yield None
        if body.lstrip().startswith(b"<"):
            raise faults.web_page(self._endpoint)
        yield json.loads(body)

    async def _refusal(self, error: openai.APIStatusError, name: str) -> ModelError | CallFailed:
        status, body = error.status_code, error.body
        if faults.is_unknown_model(status, body):
            offered: tuple[str, ...] = ()
            with contextlib.suppress(ModelError, CallFailed):
                offered = await self.models()
            if name not in offered and (offered or status == 404):
                return faults.unknown_model(self._endpoint, name, offered)
        return faults.refusal(self._endpoint, status, body)

    def _drop(self, parameter: str) -> None:
        self._optional.pop(parameter, None)
        if parameter == "stream":
            self._optional.pop("stream_options", None)


async def resolve_model(settings: ModelSettings, key: str | None) -> str:
    """The model's name: the one that is set, else the only one the server lists.

    Raises `NoModel` when no endpoint is named or the server offers none or several, other `ModelError`s when
    it cannot be asked.
    """
    chat = OpenAIChat(settings, key, retries=1)
    try:
        return await chat.only_model()
    finally:
        await chat.aclose()


class _PatientClient(openai.DefaultAsyncHttpxClient):
    """Waits for the first byte of a response as long as the server says anything to any call.

    Proxy and certificate variables are honoured, but never for a plain loopback address: no proxy reaches it.
    """

    def __init__(self, endpoint: Endpoint, idle_seconds: float) -> None:
        parts = urlsplit(endpoint.base_url)
        local = parts.scheme == "http" and _is_loopback(parts.hostname or "")
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        super().__init__(follow_redirects=False, trust_env=not local, timeout=timeout)
        self._endpoint = endpoint
        self._idle = idle_seconds
        self._waiting: set[asyncio.Timeout] = set()
        self._heard = float("-inf")

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send once. Raises `ModelUnreachable` when the server stays silent, which the SDK does not retry."""
        try:
            async with asyncio.timeout(self._idle) as limit:
                self._waiting.add(limit)
                try:
                    return await super().send(request, **options)
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            raise faults.silent(self._endpoint, self._idle) from None

    def heard(self) -> None:
        """Note that the server spoke; looked at about ten times within the idle time, not at each token."""
        now = asyncio.get_running_loop().time()
        if now - self._heard >= self._idle / 10:
            self._heard = now
            for limit in self._waiting:
                if not limit.expired():
                    limit.reschedule(now + self._idle)


def _endpoint(settings: ModelSettings, key: str | None) -> Endpoint:
    key = (key or "").strip()
    base_url = settings.base_url.strip()
    if not base_url and not key:
        raise NoModel(faults.NOT_CONFIGURED)
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
        raise faults.no_address(base_url)
    return Endpoint(base_url or OPENAI_URL, settings.api_key_env, key)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
