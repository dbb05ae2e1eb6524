"""A `websockets` server that ends connections as `closing.js` does; it cannot leave out a code."""

import asyncio
import socket
import struct
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve


async def end(connection):
    url = urlsplit(connection.request.path)
    _, side, how, *_ = url.path.split("/")
    for _ in range(int(parse_qs(url.query).get("messages", ["1"])[0])):
        await connection.send(await connection.recv())
    if side == "client":
        await connection.wait_closed()
    elif how == "fin":
        connection.transport.close()
    elif how == "rst":
        at_once = struct.pack("ii", 1, 0)
        end = connection.transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        connection.transport.abort()
    else:
        await connection.close(int(how), "because")


async def main():
    async with serve(end, "127.0.0.1", 0, max_size=None) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
