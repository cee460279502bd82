"""The commands: arguments checked, a job begun, its id answered at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from soa_agents.errors import UsageError

from soa_server.lsp import from_lsp
from soa_server.lsp.jobs import Request
from soa_server.settings import PROTOCOLS, is_protocol

if TYPE_CHECKING:
    from soa_server.lsp.app import Server

COMMANDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {  # -> job kind, required, optional keys
    "soa.generate": ("generate", ("uri", "qualname", "version"), ("protocol",)),
    "soa.regenerate": ("regenerate", ("uri", "qualname", "version"), ("protocol",)),
    "soa.stubs": ("stubs", ("uri", "qualname", "version"), ("protocol",)),
    "soa.implementFile": ("implementFile", ("uri", "version"), ("protocol",)),
    "soa.runTests": ("runTests", ("uri",), ("qualname",)),
}


def add_commands(server: Server) -> None:
    """The handlers of all commands, and of a progress that a person cancels."""

    def add(command: str) -> None:
        kind, required, optional = COMMANDS[command]

        @server.command(command)
        def start(*arguments: Any) -> dict[str, str]:
            argument = _checked(lambda: from_lsp.argument_of(command, arguments, required, optional))
            if argument.protocol and not is_protocol(argument.protocol):
                raise JsonRpcInvalidParams(f"{command}: protocol must be one of {', '.join(PROTOCOLS)}.")
            request = Request(
                kind=kind,  # type: ignore[arg-type]  # the table holds job kinds
                uri=argument.uri,
                qualname=argument.qualname,
                version=argument.version,
                protocol=argument.protocol,
            )
            return {"jobId": server.controller.begin(request)}

    for command in COMMANDS:
        add(command)

    @server.command("soa.cancel")
    def cancel(*arguments: Any) -> dict[str, str]:
        argument = _checked(lambda: from_lsp.argument_of("soa.cancel", arguments, ("jobId",)))
        server.controller.cancel(argument.job_id)
        return {"jobId": argument.job_id}

    @server.command("soa.resume")
    def resume(*arguments: Any) -> dict[str, str]:
        argument = _checked(lambda: from_lsp.argument_of("soa.resume", arguments, ("jobId",)))
        server.resuming.resume(argument.job_id)
        return {"jobId": argument.job_id}

    @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def cancel_progress(params: types.WorkDoneProgressCancelParams) -> None:
        job = server.session.jobs.by_token(params.token)
        if job is not None:
            server.controller.cancel(job.id)


def _checked(read: Callable[[], from_lsp.Argument]) -> from_lsp.Argument:
    try:
        return read()
    except UsageError as error:
        raise JsonRpcInvalidParams(str(error)) from error
