"""Starlette on uvicorn behind a unix socket, with a list of allowed origins in its handler. argv: the socket."""

import os
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute


async def chat(websocket):
    if websocket.headers.get("origin") != "https://app.example":
        await websocket.close(1008)
        return
    await websocket.accept()
    await websocket.receive()


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
print("listening", flush=True)
application = Starlette(routes=[WebSocketRoute("/chat/{number}", chat)])
config = uvicorn.Config(application, lifespan="off", log_level="warning")
uvicorn.Server(config).run(sockets=[listener])
