"""python `websockets` with its own list of allowed origins."""

import asyncio
import os
from http import HTTPStatus

from websockets.asyncio.server import serve
from websockets.exceptions import NegotiationError


def choose(connection, offered):
    if "stale.v1" in offered:
        raise NegotiationError("unsupported subprotocol: stale.v1")


def route(connection, request):
    if "token=expired" in request.path:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "token expired\n")
    if not request.path.startswith("/py_websockets/chat/"):
        return connection.respond(HTTPStatus.NOT_FOUND, "no such page\n")


async def chat(connection):
    await connection.wait_closed()


async def main():
    origins = os.environ["ALLOWED"].split()
    async with serve(chat, "127.0.0.1", 0, origins=origins, process_request=route, select_subprotocol=choose) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
