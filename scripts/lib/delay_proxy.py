"""A TCP proxy that holds every request back for a while, as a network does. A child process of ``scripts/bench``.

usage: python -m scripts.lib.delay_proxy PORT MILLISECONDS

Listens on 127.0.0.1 and prints ``listening on http://127.0.0.1:N``. One request is what a client sends after the server
has answered; pipelining clients are not imitated.
"""

import asyncio
import socket
import sys

_CHUNK = 1 << 16


async def serve(port: int, seconds: float) -> None:
    """Forward connections to ``port`` until the process is ended."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = asyncio.Event()
        answered.set()
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        for stream in (writer, upstream_writer):
            stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        async def send_requests() -> None:
            while chunk := await reader.read(_CHUNK):
                if answered.is_set():
                    answered.clear()
                    await asyncio.sleep(seconds)
                upstream_writer.write(chunk)
                await upstream_writer.drain()
            upstream_writer.close()

        async def send_answers() -> None:
            while chunk := await upstream_reader.read(_CHUNK):
                answered.set()
                writer.write(chunk)
                await writer.drain()
            writer.close()

        await asyncio.gather(send_requests(), send_answers(), return_exceptions=True)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
