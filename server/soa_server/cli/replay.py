"""A stand-in for a model: a local HTTP server that speaks the OpenAI protocol and gives bundled replies.

The engine and the server that ask it know nothing of that; to them it is a model at an address.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

MODEL = "bundled-replies"
SECONDS = 0.4  # a reply takes this long, so that a person can watch the agents


@dataclass(frozen=True, slots=True)
class Recording:
    """Replies by target and step, in the order given; `label` and `written` say where they are from."""

    label: str
    written: str
    replies: Mapping[str, Mapping[str, Sequence[str]]]


def bundled() -> Recording:
    """The recording that comes with the package."""
    data = json.loads(resources.files("soa_server.cli").joinpath("recording.json").read_text("utf-8"))
    return Recording(data["label"], data["written"], data["replies"])


@contextmanager
def serving(recording: Recording) -> Iterator[str]:
    """Serve the recording on a free loopback port while the block runs; the base URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.recording = recording
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    recording: Recording

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.given: dict[tuple[str, str], int] = {}
        self.lock = threading.Lock()

    def next_reply(self, target: str, step: str) -> str | None:
        """The next reply for that target and step; the last one repeats, None when there is none."""
        replies = self.recording.replies.get(target, {}).get(step)
        if not replies:
            return None
        with self.lock:
            number = self.given.get((target, step), 0)
            self.given[target, step] = number + 1
        return replies[min(number, len(replies) - 1)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:  # the name http.server calls
        """The list of models, whatever the path."""
        self._json(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:  # the name http.server calls
        """One chat completion, streamed when asked to."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        target, step = _asked(request)
        reply = self.server.next_reply(target, step)
        if reply is None:
            message = f"The bundled recording has no reply for step {step} of {target}."
            self._json(400, {"error": {"message": message, "type": "invalid_request_error"}})
            return
        time.sleep(SECONDS)
        usage = _usage(request, reply)
        if request.get("stream"):
            self._stream(reply, usage)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
            self._json(200, {**_head("chat.completion"), "choices": [choice], "usage": usage})

    def log_message(self, format: str, *args: Any) -> None:  # the name http.server gives it
        """Say nothing: the terminal belongs to the demo."""

    def _json(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, reply: str, usage: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        first = {"index": 0, "delta": {"role": "assistant", "content": reply}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        for part in ({"choices": [first]}, {"choices": [last]}, {"choices": [], "usage": usage}):
            event = json.dumps({**_head("chat.completion.chunk"), **part})
            self.wfile.write(f"data: {event}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


def _head(kind: str) -> dict[str, Any]:
    return {"id": "bundled", "object": kind, "created": int(time.time()), "model": MODEL}


def _asked(request: Mapping[str, Any]) -> tuple[str, str]:
    """The `Target:` and `Step:` that the last user message ends with."""
    texts = [str(m["content"]) for m in request["messages"] if m["role"] == "user"]
    lines = texts[-1].rstrip().splitlines()[-2:] if texts else []
    if len(lines) != 2:
        return "", ""
    return lines[0].removeprefix("Target: ").strip(), lines[1].removeprefix("Step: ").strip()


def _usage(request: Mapping[str, Any], reply: str) -> dict[str, int]:
    asked = sum(len(str(m["content"]).encode()) for m in request["messages"]) // 3
    answered = len(reply.encode()) // 3
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
