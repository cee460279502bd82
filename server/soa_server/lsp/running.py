"""Running the server on its streams, and its ends: exit, end of input, a signal, the death of the client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from pygls.io_ import StdoutWriter, run_async

from soa_server.lsp.app import Server, create_server

PARENT_SECONDS = 1.0  # between two looks whether the client's process lives

logger = logging.getLogger("soa")


def run_stdio(incoming: int, outgoing: int, engine: Sequence[str] | None = None) -> int:
    """Serve over two file descriptors; the exit code."""

    async def main() -> int:
        reader = asyncio.StreamReader(limit=2**30)
        _feed(incoming, reader)
        server = create_server(engine)
        server.protocol.set_writer(StdoutWriter(os.fdopen(outgoing, "wb")))
        return await _serve(server, reader)

    _set_up_logging()
    return asyncio.run(main())


def run_tcp(host: str, port: int, engine: Sequence[str] | None = None) -> int:
    """Serve the first client of a socket; the exit code."""

    async def main() -> int:
        served: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            listener.close()
            server = create_server(engine)
            server.protocol.set_writer(writer)
            code = await _serve(server, reader)
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()
            if not served.done():
                served.set_result(code)

        listener = await asyncio.start_server(connected, host, port, limit=2**30)
        where = listener.sockets[0].getsockname()
        print(f"soa: listening on {where[0]}:{where[1]}", file=sys.stderr, flush=True)
        return await served

    _set_up_logging()
    return asyncio.run(main())


async def _serve(server: Server, reader: asyncio.StreamReader) -> int:
    """Handle messages until the client says exit, hangs up or dies, or a signal comes; then clean up."""
    loop = asyncio.get_running_loop()
    server.ending = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, server.finish, 1)
    connection = asyncio.create_task(
        run_async(
            stop_event=threading.Event(),
            reader=reader,
            protocol=server.protocol,
            logger=logger,
            error_handler=server.report_server_error,
        )
    )
    watching = asyncio.create_task(_watch(server))
    await asyncio.wait({connection, server.ending}, return_when=asyncio.FIRST_COMPLETED)
    code = server.ending.result() if server.ending.done() else int(not server.protocol._shutdown)
    connection.cancel()
    watching.cancel()
    await asyncio.gather(connection, watching, return_exceptions=True)
    await server.close()
    return code


def _feed(incoming: int, reader: asyncio.StreamReader) -> None:
    """Hand on what comes: from the loop itself, a thread's turns would double the time of a short answer.

    A thread reads where the loop cannot wait for the descriptor: on Windows, and from a file.
    """
    loop = asyncio.get_running_loop()

    def readable() -> None:
        data = _read(incoming)
        if data:
            reader.feed_data(data)
        else:
            loop.remove_reader(incoming)
            reader.feed_eof()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while data := _read(incoming):
                loop.call_soon_threadsafe(reader.feed_data, data)
            loop.call_soon_threadsafe(reader.feed_eof)

    try:
        loop.add_reader(incoming, readable)
    except (NotImplementedError, PermissionError):
        threading.Thread(target=read, daemon=True, name="stdin").start()  # never keeps the process alive


def _read(incoming: int) -> bytes:
    """What there is, once there is something; nothing at the end, which a closed descriptor is too."""
    try:
        return os.read(incoming, 65536)
    except OSError:
        return b""


async def _watch(server: Server) -> None:
    """End the server when the client's process is gone; there is no event for that, only looking."""
    while True:
        await asyncio.sleep(PARENT_SECONDS)
        process_id = server.person.client.process_id
        if process_id is not None and not _lives(process_id):
            break
    server.finish(1)


def _lives(process_id: int) -> bool:
    import psutil  # here, because `initialize` does not wait for it

    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it writes whole messages, texts and keys included
