"""A real HTTP server that speaks the OpenAI protocol as a test says: chat completions, the list of models.

In a test:

    def answer(request: dict[str, Any]) -> Answer:
        target, step = asked(request)
        return Answer("```python\\n…\\n```")

    with OpenAIServer(answer) as server:
        ...                       # talk to server.base_url
        server.wait(lambda: server.requests[0].disconnected)

`scripted({"a.py::f": {"code": ["first reply", "second reply"]}, "*": {…}})` is an `answer` made of data.
The server runs in a thread with an event loop of its own, so it serves a test's own loop, another process,
or many at once.

As a program: `python openai_server.py ANSWERS.json [--port N] [--log REQUESTS.jsonl]` takes the same data as
JSON, prints `{"base_url": …}` as its first line and serves until its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server does with one request. By default it behaves well and streams when asked to."""

    text: str = ""
    status: int = 200
    error: Any = None  # the `error` member of the body when `status` is not 200; a string is its message
    body: str | None = None  # sent raw instead of anything else (HTML, broken JSON)
    content_type: str = "application/json"  # of `body`
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: int = 4  # into how many pieces a streamed text is cut
    delay: float = 0.0  # seconds before the first byte
    chunk_delay: float = 0.0  # seconds before each further piece
    hold: threading.Event | None = None  # nothing is sent before it is set
    disconnect_after: int | None = None  # pieces sent before the server hangs up; -1: not even a status
    silent_after: int | None = None  # pieces sent before the server falls silent, keeping the connection
    finish: str | None = "stop"
    usage: Mapping[str, Any] | str | None = "counted"  # None: the server sends none
    stream: bool | None = None  # None: as the request asks
    reasoning: str = ""  # sent before the text as `reasoning_content`


@dataclass
class Request:
    """One chat request as it arrived and what became of it."""

    number: int
    time: float  # seconds, `time.monotonic()`
    headers: dict[str, str]
    json: dict[str, Any]
    target: str
    step: str
    pieces: int = 0  # sent so far
    disconnected: bool = False  # the client went away before the answer was complete
    ended: float | None = None


Answerer = Callable[[dict[str, Any]], Answer]


class ClientGoneError(Exception):
    """The client closed its end before the answer was complete."""


def asked(request: Mapping[str, Any]) -> tuple[str, str]:
    """The `Target:` and `Step:` that the last user message ends with, or empty strings."""
    texts = [m["content"] for m in request.get("messages", []) if m.get("role") == "user"]
    lines = texts[-1].rstrip().splitlines()[-2:] if texts else []
    if len(lines) == 2 and lines[0].startswith("Target: ") and lines[1].startswith("Step: "):
        return lines[0].removeprefix("Target: ").strip(), lines[1].removeprefix("Step: ").strip()
    return "", ""


def scripted(replies: Mapping[str, Mapping[str, Sequence[str | Mapping[str, Any]]]]) -> Answerer:
    """Answers by target (or `*`) and step, in the order given; the last one repeats.

    A reply is a text or the fields of an `Answer`. A target of its own wins over `*`, step by step; a step
    may be `*` too.
    """
    given: dict[tuple[str, str], int] = {}

    def answer(request: dict[str, Any]) -> Answer:
        target, step = asked(request)
        for name in (target, "*"):
            listed = replies.get(name, {})
            texts = listed.get(step) or listed.get("*")
            if texts:
                number = given.get((target, step), 0)
                given[target, step] = number + 1
                reply = texts[min(number, len(texts) - 1)]
                return Answer(reply) if isinstance(reply, str) else Answer(**reply)
        return Answer(status=400, error=f"the script has no reply for step {step!r} of {target!r}")

    return answer


class OpenAIServer:
    """A context manager: serves `answer` on a free loopback port while the block runs.

    `models` is what `/models` lists, or an `Answer` for it; with `key` every other key is refused; with
    `certificate`, a file of key and certificate, it speaks TLS. `requests`
    holds the chat requests in order of arrival, `listings` counts those for the models, `peak` is the largest
    number of chat requests that were open at once. What `answer` itself raises is raised when the block ends.
    """

    def __init__(
        self,
        answer: Answerer | Answer | str = "hello",
        *,
        models: Sequence[str] | Answer = ("test-model",),
        key: str | None = None,
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        fixed = Answer(answer) if isinstance(answer, str) else answer
        self.answer: Answerer = (lambda _: fixed) if isinstance(fixed, Answer) else fixed
        self.models = models
        self.key = key
        self.port = port
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if self.tls and certificate:
            self.tls.load_cert_chain(certificate)
        self.requests: list[Request] = []
        self.listings = 0
        self.peak = 0
        self.errors: list[BaseException] = []
        self._open = 0
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openai-server", daemon=True)

    @property
    def base_url(self) -> str:
        """What `OPENAI_BASE_URL` would be set to."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        if not self._ready.wait(10) or not self.port:
            raise RuntimeError("the test server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self.errors:
            raise self.errors[0]

    def wait(self, holds: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Block until `holds()`; False after `seconds`. In coroutines `asyncio.to_thread(server.wait…)`."""
        with self._changed:
            return self._changed.wait_for(holds, seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # A task of our own: asyncio reports a coroutine handler that is cancelled as an error.
            task = asyncio.create_task(self._connected(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(
            connected, "127.0.0.1", self.port, limit=2**26, backlog=1024, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._connection(reader, writer)
        except Exception as error:
            self.errors.append(error)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                first = await reader.readexactly(1)
                if not first.isalpha():  # a TLS handshake, most likely
                    writer.write(b"HTTP/1.1 400 X\r\nconnection: close\r\n\r\n")
                    return
                head = first + await reader.readuntil(b"\r\n\r\n")
                method, path, headers = _parse_head(head.decode("latin-1"))
                body = await reader.readexactly(int(headers.get("content-length", "0")))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            wire = Wire(reader, writer)
            try:
                await self._route(wire, method, path.partition("?")[0], headers, body)
            except ClientGoneError:
                return
            if wire.closed:
                return

    async def _route(self, wire: Wire, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            error = {"message": f"Incorrect API key provided: {headers.get('authorization', '')}."}
            await wire.plain(401, json.dumps({"error": error}))
        elif method == "GET" and path.endswith("/models"):
            self.listings += 1
            await self._list_models(wire)
        elif method == "POST" and path.endswith("/chat/completions"):
            await self._chat(wire, headers, json.loads(body))
        else:
            await wire.plain(404, json.dumps({"error": {"message": f"no route for {method} {path}"}}))

    async def _list_models(self, wire: Wire) -> None:
        if isinstance(self.models, Answer):
            async with wire.watched():
                await _send(wire, self.models, {}, lambda: None)
            return
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in self.models]
        await wire.plain(200, json.dumps({"object": "list", "data": data}))

    async def _chat(self, wire: Wire, headers: dict[str, str], body: dict[str, Any]) -> None:
        target, step = asked(body)
        with self._changed:
            request = Request(len(self.requests), time.monotonic(), headers, body, target, step)
            self.requests.append(request)
            self._open += 1
            self.peak = max(self.peak, self._open)
            self._changed.notify_all()

        def sent() -> None:
            with self._changed:
                request.pieces += 1
                self._changed.notify_all()

        try:
            async with wire.watched():
                await _send(wire, self.answer(body), body, sent)
        except (ClientGoneError, ConnectionError) as gone:
            request.disconnected = True
            raise ClientGoneError from gone
        finally:
            with self._changed:
                request.ended = time.monotonic()
                self._open -= 1
                self._changed.notify_all()


class Wire:
    """One request's way back: writes a response, and notices when the client is no longer there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._gone: asyncio.Task[None] | None = None
        self.closed = False  # by the server

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While the block runs, `pause` raises `ClientGoneError` as soon as the client closes its end."""
        self._gone = asyncio.create_task(self._until_closed())
        try:
            yield
        finally:
            self._gone.cancel()
            await asyncio.wait({self._gone})

    async def _until_closed(self) -> None:
        # A client sends nothing more before it has its answer, so whatever comes is the end.
        with contextlib.suppress(ConnectionError):
            await self._reader.read(1)

    async def pause(self, seconds: float | None = None) -> None:
        """Do nothing for `seconds`, or until the client goes away."""
        assert self._gone is not None
        await asyncio.wait({self._gone}, timeout=seconds)
        self.check()

    def check(self) -> None:
        """Raise `ClientGoneError` when the client went away."""
        if self._gone is not None and self._gone.done():
            raise ClientGoneError

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        await self.write("\r\n".join(lines).encode("latin-1"))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def piece(self, text: str) -> None:
        """One chunk of a chunked body; the empty one ends it."""
        data = text.encode()
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def plain(
        self,
        status: int,
        body: str,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        data = body.encode()
        own = {"content-type": content_type, "content-length": str(len(data))}
        await self.head(status, own | dict(headers or {}))
        await self.write(data)

    def hang_up(self) -> None:
        self.closed = True
        self._writer.close()


def _parse_head(head: str) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in rest if line)
    return method, path, {name.lower(): value.strip() for name, _, value in pairs}


async def _send(wire: Wire, answer: Answer, request: dict[str, Any], sent: Callable[[], None]) -> None:
    while answer.hold is not None and not answer.hold.is_set():
        await wire.pause(0.01)
    if answer.delay:
        await wire.pause(answer.delay)
    if answer.disconnect_after == -1:
        wire.hang_up()
        return
    wants_stream = bool(request.get("stream")) if answer.stream is None else answer.stream
    if answer.body is not None:
        await wire.plain(answer.status, answer.body, answer.content_type, answer.headers)
    elif answer.status != 200:
        error = (
            {"message": answer.error or "refused"} if isinstance(answer.error, str | None) else answer.error
        )
        await wire.plain(answer.status, json.dumps({"error": error}), headers=answer.headers)
    elif wants_stream:
        await _stream(wire, answer, request, sent)
    else:
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish}
        whole = _envelope("chat.completion", request) | {"choices": [choice]}
        await wire.plain(200, json.dumps(whole | _usage(answer, request)), headers=answer.headers)
        sent()


async def _stream(wire: Wire, answer: Answer, request: dict[str, Any], sent: Callable[[], None]) -> None:
    event_stream = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    await wire.head(200, event_stream | dict(answer.headers))
    envelope = _envelope("chat.completion.chunk", request)
    for number, delta in enumerate(_deltas(answer)):
        if number == answer.disconnect_after:
            wire.hang_up()
            return
        if number == answer.silent_after:
            await wire.pause()
        if number and answer.chunk_delay:
            await wire.pause(answer.chunk_delay)
        wire.check()
        await wire.piece(
            _event(envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        )
        sent()
    await wire.piece(
        _event(envelope | {"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})
    )
    usage = _usage(answer, request)
    if usage and (request.get("stream_options") or {}).get("include_usage"):
        await wire.piece(_event(envelope | {"choices": []} | usage))
    await wire.piece("data: [DONE]\n\n")
    await wire.piece("")


def _deltas(answer: Answer) -> list[dict[str, str]]:
    size = max(1, -(-len(answer.text) // max(1, answer.chunks)))
    pieces = [answer.text[at : at + size] for at in range(0, len(answer.text), size)]
    thoughts = [{"reasoning_content": answer.reasoning}] if answer.reasoning else []
    return [*thoughts, *({"content": piece} for piece in pieces)]


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _envelope(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-test", "object": kind, "created": 0, "model": request.get("model", "test-model")}


def _usage(answer: Answer, request: Mapping[str, Any]) -> dict[str, Any]:
    if answer.usage is None:
        return {}
    if not isinstance(answer.usage, str):
        return {"usage": dict(answer.usage)}
    read = sum(len(str(m.get("content", "")).encode()) for m in request.get("messages", [])) // 4
    written = len(answer.text.encode()) // 4
    return {"usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve scripted replies over the OpenAI protocol.")
    parser.add_argument("answers", type=Path, help='JSON: {"target or *": {"step": ["reply", …]}}')
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the one key that is accepted; every key without this option")
    parser.add_argument("--log", type=Path, help="written at the end: one JSON line a chat request")
    options = parser.parse_args(arguments)
    replies = json.loads(options.answers.read_text(encoding="utf-8"))
    with OpenAIServer(scripted(replies), key=options.key, port=options.port) as server:
        print(json.dumps({"base_url": server.base_url}), flush=True)
        sys.stdin.read()
    if options.log:
        lines = [json.dumps(asdict(request)) for request in server.requests]
        options.log.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
