"""What can go wrong between SoA and a model's server, as one sentence each.

Pure: status, body or cause in, exception out. None of them ever holds the key, a header or a whole body.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from soa_agents.errors import CallFailed, KeyRefused, ModelError, ModelUnreachable, NoModel, PromptTooLong
from soa_agents.models.endpoint import SET_URL, Endpoint, message_of

SET_MODEL = "SOA_MODEL (or soa.model.name)"

_TOO_LONG = re.compile(
    r"context.{0,9}(length|window|size)|maximum context|too many tokens|(prompt|input) is too long", re.I
)
_CONTEXT = re.compile(r"context.{0,40}?\b(\d{3,8})\b|\b(\d{3,8}) (?:tokens? )?maximum", re.I)
_NO_SUCH_MODEL = re.compile(
    r"\bmodel\b.{0,120}(not exist|not found|unknown|not available)|(invalid|unknown|no such) model", re.I
)
_LISTED_AT_MOST = 20  # names of models in one sentence


def refusal(endpoint: Endpoint, status: int, body: object) -> ModelError | CallFailed:
    """The exception for an HTTP status that is no success; `body` is its `error` member, or the whole."""
    where, words = endpoint.shown, _because(endpoint.quoted(body))
    if status in (401, 403):
        return _key_refused(endpoint, status)
    if status == 404:
        return ModelUnreachable(
            f"There is no chat at {where} (404). Check {SET_URL}; most servers want it to end in /v1."
        )
    if status == 407:
        return ModelUnreachable(
            f"The proxy on the way to {where} wants a user name and password (407). Put them in HTTPS_PROXY."
        )
    if is_unpaid(status, body):
        return ModelError(f"The server at {where} wants payment ({status}){words}. Check the account.")
    if status == 429:
        return ModelUnreachable(
            f"The model's server at {where} still limits requests (429){words}. "
            "Wait a while, or lower soa.limits.parallel."
        )
    if status >= 500 or status == 408:
        return ModelUnreachable(
            f"The model's server at {where} fails ({status}){words}. Look at its log, or try again later."
        )
    if 300 <= status < 400:
        return ModelUnreachable(
            f"The model's server at {where} redirects ({status}). Set {SET_URL} to its real address."
        )
    if is_too_long(status, body):
        said = f"The prompt is longer than the model's context{words}. Take a model with a larger one."
        return PromptTooLong(said, _context_tokens(body))
    if _code(body) == "content_filter":
        return CallFailed(f"The model's server at {where} withholds an answer by its content filter{words}.")
    return CallFailed(f"The model's server at {where} refuses the request ({status}){words}.")


def in_reply(endpoint: Endpoint, body: object) -> ModelError | CallFailed:
    """The exception for an error that stands where a reply should."""
    code = body.get("code") if isinstance(body, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 500 and code not in (408, 409, 429) else 400
    passing = status == 400 and code != 400 and _code(body) != "content_filter"
    if passing and not is_too_long(status, body) and not is_unpaid(status, body):
        return lost(endpoint, f"fails in its reply{_because(endpoint.quoted(body))}")
    return refusal(endpoint, status, body)


def is_unpaid(status: int, body: object) -> bool:
    """Whether a refusal is one of an account, which no waiting mends."""
    return status == 402 or _code(body) == "insufficient_quota"


def is_too_long(status: int, body: object) -> bool:
    """Whether a refusal says that the prompt does not fit the model's context."""
    return status == 413 or "context_length" in _code(body) or bool(_TOO_LONG.search(message_of(body)))


def is_unknown_model(status: int, body: object) -> bool:
    """Whether a refusal says that there is no such model (some servers say so with 400)."""
    if status not in (400, 404, 422):
        return False
    if isinstance(body, dict) and (body.get("param") == "model" or _code(body) == "model_not_found"):
        return True
    return bool(_NO_SUCH_MODEL.search(message_of(body)))


def named_parameter(body: object, sent: tuple[str, ...]) -> str | None:
    """Which of the parameters `sent` a refusal names, if any. The longest name wins (`stream_options`)."""
    if isinstance(body, dict) and body.get("param") in sent:
        return str(body["param"])
    said = str(body)
    found = [name for name in sent if re.search(rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])", said)]
    return max(found, key=len, default=None)


def unknown_model(endpoint: Endpoint, name: str, offered: tuple[str, ...]) -> NoModel:
    """The server does not know the model `name`; `offered` is what it lists."""
    if not offered:
        return NoModel(f"The server at {endpoint.shown} does not know the model {name}. Set {SET_MODEL}.")
    return NoModel(
        f"The server at {endpoint.shown} does not offer the model {name}; it offers {_listed(offered)}. "
        f"Set {SET_MODEL} to one of them."
    )


def undecided(endpoint: Endpoint, offered: tuple[str, ...]) -> NoModel:
    """No model is named, and the server offers none or several."""
    if not offered:
        return NoModel(
            f"The server at {endpoint.shown} offers no model. Load one there, then set {SET_MODEL}."
        )
    return NoModel(
        f"The server at {endpoint.shown} offers {_listed(offered)}. Set {SET_MODEL} to one of them."
    )


def unreachable(endpoint: Endpoint, cause: BaseException) -> ModelUnreachable:
    """Nobody answers: `cause` is what the connection failed with, whatever it is wrapped in."""
    where, host = endpoint.shown, urlsplit(endpoint.base_url).hostname
    causes = tuple(_chain(cause))
    names = {type(c).__name__ for c in causes}
    if names & {"ProxyError", "ClientProxyConnectionError", "ClientHttpProxyError"}:
        return ModelUnreachable(f"The proxy on the way to {where} fails. Check HTTPS_PROXY and NO_PROXY.")
    if any(isinstance(c, socket.gaierror) for c in causes):
        return ModelUnreachable(f"The host {host} of {where} is not known. Check {SET_URL} and the network.")
    wants = (ssl.SSLWantReadError, ssl.SSLWantWriteError)  # no faults: a handshake that was still under way
    faulty = [c for c in causes if isinstance(c, ssl.SSLError) and not isinstance(c, wants)]
    tls = faulty[-1] if faulty else None  # the innermost says why
    if isinstance(tls, ssl.SSLCertVerificationError):
        return ModelUnreachable(
            f"The certificate of {where} is not trusted ({tls.verify_message}). "
            "Set SSL_CERT_FILE to your organisation's certificates."
        )
    if tls is not None:
        return ModelUnreachable(f"{where} does not speak TLS as expected. Check http or https in {SET_URL}.")
    if any(isinstance(c, TimeoutError) for c in causes) or names & {"ConnectionTimeoutError"}:
        return ModelUnreachable(f"{where} does not let SoA connect in time. Check {SET_URL} and the network.")
    if names & {"RemoteProtocolError", "ReadError", "ServerDisconnectedError", "ClientOSError"}:
        return ModelUnreachable(f"The model's server at {where} hangs up without an answer. Look at its log.")
    return ModelUnreachable(f"Nothing answers at {where}. Start the model's server there, or set {SET_URL}.")


def is_refused(cause: BaseException) -> bool:
    """Whether nobody listens at the address, whatever the failure is wrapped in."""
    return any(isinstance(c, ConnectionRefusedError) for c in _chain(cause))


def silent(endpoint: Endpoint, seconds: float) -> ModelUnreachable:
    """The server took the request and said nothing at all."""
    return ModelUnreachable(
        f"The model's server at {endpoint.shown} said nothing for {seconds:g} s. "
        "Look whether it is still loading the model, then try again."
    )


def web_page(endpoint: Endpoint) -> ModelUnreachable:
    """HTML where a completion was expected: a wrong path, a portal, a proxy's own page."""
    return ModelUnreachable(
        f"{endpoint.shown} answers with a web page instead of a model's reply. "
        f"Check {SET_URL}; most servers want it to end in /v1."
    )


def closed(endpoint: Endpoint, pause: float) -> ModelUnreachable:
    """The server wants a pause so long that the job had better be taken up again after it."""
    wanted = f"{pause / 60:.0f} minutes" if pause >= 120 else f"{pause:.0f} s"
    return ModelUnreachable(
        f"The model's server at {endpoint.shown} limits requests (429) and asks for a pause of {wanted}. "
        "Go on with the job after that."
    )


class Broken(CallFailed):
    """One reply did not arrive whole; the next may."""


def lost(endpoint: Endpoint, how: str) -> Broken:
    """One reply that did not arrive whole: `how` continues "The model's server at … "."""
    return Broken(f"The model's server at {endpoint.shown} {how}.")


def _key_refused(endpoint: Endpoint, status: int) -> KeyRefused:
    todo = f'{endpoint.key_env} or run "SoA: Set API Key".'
    if not endpoint.key:
        return KeyRefused(f"The model's server wants a key ({status}) and none is set. Set {todo}")
    return KeyRefused(f"The model's server refused the key ({status}). Check {todo}")


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_LISTED_AT_MOST])
    more = len(names) - _LISTED_AT_MOST
    count = "1 model" if len(names) == 1 else f"{len(names)} models"
    return f"{count}: {shown}" + (f" and {more} more" if more > 0 else "")


def _because(words: str) -> str:
    return f": {words.rstrip('.')}" if words else ""


def _context_tokens(body: object) -> int:
    """The size of the context that a refusal names, or 0."""
    if isinstance(body, dict) and isinstance(body.get("n_ctx"), int):
        return int(body["n_ctx"])
    found = _CONTEXT.search(message_of(body))
    return int(found[1] or found[2]) if found else 0


def _code(body: object) -> str:
    return str(body.get("code") or body.get("type") or "") if isinstance(body, dict) else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
