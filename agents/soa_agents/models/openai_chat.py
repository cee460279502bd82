"""Any OpenAI-compatible chat, streamed. The only module that imports `openai`; import it late, it is slow.

Invariants: nothing is sent to an address that nobody named (redirects are refused); when a call is cancelled
its connection is closed, so no token is generated unread; the key stands in no log and in no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx2
import openai

from soa_agents.errors import CallFailed, ModelError
from soa_agents.models import faults
from soa_agents.models.endpoint import Endpoint, endpoint_of
from soa_agents.models.pace import Pace, Share, asked_pause
from soa_agents.models.port import CallDropped, Prompt, Reply, ReplyLost
from soa_agents.models.reading import Gathered, model_names
from soa_agents.settings import ModelSettings

CONNECT_SECONDS = 10.0
REFUSALS = 8  # how often one call may be refused for its rate before the server counts as closed
LITTLE_ROOM = 16_000  # tokens of a reply: what is bounded to fewer is bounded by the server, too
NEWER_BOUND = "max_completion_tokens"  # what some models want instead of `max_tokens`
LONGEST_WAIT = 120.0  # seconds that a server may ask to wait

_Stream = openai.AsyncStream[object]  # of chunks as they came: decoded JSON

# At lower levels these write bodies and addresses, whatever OPENAI_LOG says.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class OpenAIChat:
    """A `Model` behind chat completions. `key` is None for servers that want none.

    `parameters` (`temperature`, `max_tokens`, …) go along until the server refuses one by name; that one is
    then left out for good. `idle_seconds` bounds the silence between two tokens, never the whole reply;
    before the first token it counts only while the server is silent towards every call, since small servers
    queue them. `retries` is how often a call is repeated, with backoff, after 5xx or a lost connection; a
    reply that broke off is the caller's to ask for again, for it was paid. `share` is the job's part of the
    server's pace: what is refused for its rate (429) is asked again in its turn, unless `retries` is 0.

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
        share: Share | None = None,
    ) -> None:
        self._endpoint = endpoint = endpoint_of(settings, key)
        self._name = settings.name
        self._price = settings.price
        self._optional: dict[str, Any] = {
            "stream": True,
            "stream_options": {"include_usage": True},
            **(parameters or {}),
        }
        self._bounds_by = "max_tokens"
        self._idle = idle_seconds
        self._refusals = REFUSALS if retries else 0
        self._share = share or Share(Pace(), sys.maxsize)
        self._http = _PatientClient(endpoint, idle_seconds)
        self._client = openai.AsyncOpenAI(
            # Never empty: the SDK would look into the environment by itself.
            api_key=endpoint.key or "no-key-needed",
            base_url=endpoint.address,
            default_headers=endpoint.login,
            max_retries=retries,
            http_client=self._http,
        )

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask once. Raises `ModelError` when no call can succeed, `CallFailed` when this one did not.

        `ReplyLost` when a reply broke off, `CallDropped` when it was cancelled after it was sent.
        """
        name = self._name or await self.only_model()
        refusals, bounded = 0, True
        while True:
            bound = self._bound(prompt) if bounded else {}
            sent = {**self._optional, **bound}
            async with self._share.turn() as turn:
                try:
                    reply = await self._call(name, prompt, sent)
                    turn.answered()
                    return reply
                except openai.APIStatusError as error:
                    limited = error.status_code == 429 and not faults.is_unpaid(429, error.body)
                    refused = faults.named_parameter(error.body, tuple(sent))
                    if limited and refusals < self._refusals:
                        refusals += 1
                        turn.refused(self._pause(error))
                    elif bound and faults.is_too_long(error.status_code, error.body):
                        bounded = False  # prompt and bound together may be what is too long
                    elif error.status_code in (400, 422) and refused is not None:
                        self._drop(refused, error.body)
                    else:
                        raise await self._refusal(error, name) from None
                except openai.APIConnectionError as error:
                    raise faults.unreachable(self._endpoint, error) from None

    def _bound(self, prompt: Prompt) -> dict[str, int]:
        """The parameter that bounds the reply, where there is little room and the server takes one.

        Where there is much it is left out: some servers refuse a bound that their context has no room for.
        """
        if prompt.room is None or prompt.room > LITTLE_ROOM or not self._bounds_by:
            return {}
        return {self._bounds_by: prompt.room}

    def _pause(self, error: openai.APIStatusError) -> float | None:
        """The seconds that a refusal asks for; raises `ModelUnreachable` when they are too many to wait."""
        pause = asked_pause(error.response.headers)
        if pause is not None and pause > LONGEST_WAIT:
            raise faults.closed(self._endpoint, pause)
        return pause

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
        self._share.leave()
        await self._client.close()

    async def _call(self, name: str, prompt: Prompt, sent: dict[str, Any]) -> Reply:
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        gathered = Gathered(self._endpoint, prompt.room)
        try:
            # Posted as it is: the typed `create` would look into every message for what none of them has,
            # and take whatever comes for a stream where a server may answer with one plain object.
            async with await self._client.post(
                "/chat/completions",
                cast_to=object,
                body={"model": name, "messages": messages, **sent},
                stream=True,
                stream_cls=_Stream,
            ) as stream:
                await self._read(stream, gathered)
            return gathered.reply(prompt, self._price, name)
        except faults.Broken as error:
            raise ReplyLost(str(error), gathered.counted(prompt, self._price)) from None
        except asyncio.CancelledError:
            raise CallDropped(gathered.counted(prompt, self._price)) from None

    async def _read(self, stream: _Stream, gathered: Gathered) -> None:
        clock = asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(self._idle) as limit,
                contextlib.aclosing(_parts(self._endpoint, stream)) as parts,
            ):
                async for part in parts:
                    limit.reschedule(clock() + self._idle)
                    self._http.heard()
                    gathered.add(part)
                    if gathered.endless:
                        return  # closes the connection, so that the server stops writing
        except TimeoutError:
            raise faults.lost(self._endpoint, f"fell silent for {self._idle:g} s in its reply") from None
        except (openai.APIConnectionError, httpx2.HTTPError):
            raise faults.lost(self._endpoint, "broke off its reply") from None
        except openai.APIError as error:
            raise faults.in_reply(self._endpoint, error.body) from None
        except ValueError:
            raise faults.lost(self._endpoint, "sent something that is no chat completion") from None

    async def _refusal(self, error: openai.APIStatusError, name: str) -> ModelError | CallFailed:
        status, body = error.status_code, error.body
        if faults.is_unknown_model(status, body):
            offered: tuple[str, ...] = ()
            with contextlib.suppress(ModelError, CallFailed):
                offered = await self.models()
            if name not in offered and (offered or status == 404):
                return faults.unknown_model(self._endpoint, name, offered)
        return faults.refusal(self._endpoint, status, body)

    def _drop(self, parameter: str, body: object) -> None:
        """Leave out what the server refuses by name; the bound of a reply may have a newer name there."""
        self._optional.pop(parameter, None)
        if parameter == "stream":
            self._optional.pop("stream_options", None)
        if parameter == self._bounds_by:
            newer = parameter != NEWER_BOUND and NEWER_BOUND in str(body)
            self._bounds_by = NEWER_BOUND if newer else ""


async def _parts(endpoint: Endpoint, stream: _Stream) -> AsyncGenerator[object, None]:
    """The chunks of a stream, or one whole completion; None is a sign of life only."""
    if "text/event-stream" in stream.response.headers.get("content-type", ""):
        async for chunk in stream:
            yield chunk
        return
    body = bytearray()
    async for piece in stream.response.aiter_bytes():
        body += piece
        yield None
    if body.lstrip().startswith(b"<"):
        raise faults.web_page(endpoint)
    yield json.loads(body)


class _PatientClient(openai.DefaultAioHttpClient):
    """Waits for the first byte of a response as long as the server says anything to any call.

    Proxy and certificate variables are honoured, but never for a plain loopback address: no proxy reaches it.
    """

    def __init__(self, endpoint: Endpoint, idle_seconds: float) -> None:
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        super().__init__(follow_redirects=False, trust_env=not endpoint.is_local, timeout=timeout)
        self._endpoint = endpoint
        self._idle = idle_seconds
        self._waiting: set[asyncio.Timeout] = set()
        self._heard = float("-inf")

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send once. Raises `ModelUnreachable`, which the SDK does not retry, when the server stays silent or
        this machine has none at that address: another try would only keep a person waiting.
        """
        try:
            async with asyncio.timeout(self._idle) as limit:
                self._waiting.add(limit)
                try:
                    response = await super().send(request, **options)
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            raise faults.silent(self._endpoint, self._idle) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if self._endpoint.is_local and faults.is_refused(error):
                raise faults.unreachable(self._endpoint, error) from None
            raise
        if response.status_code == 429:
            response.headers["x-should-retry"] = "false"  # the pace of all calls decides, not each for itself
        return response

    def heard(self) -> None:
        """Note that the server spoke; looked at about ten times within the idle time, not at each token."""
        now = asyncio.get_running_loop().time()
        if now - self._heard >= self._idle / 10:
            self._heard = now
            for limit in self._waiting:
                if not limit.expired():
                    limit.reschedule(now + self._idle)
