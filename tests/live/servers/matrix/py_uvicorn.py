"""Two applications on uvicorn: Starlette with a list of allowed origins in its handler, and python-socketio,
whose engine.io compares Origin with scheme and host as the proxies tell them."""

import os
import socket
import sys

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute


async def chat(websocket):
    if websocket.query_params.get("token") == "expired":
        await websocket.send_denial_response(PlainTextResponse("token expired\n", 401))
        return
    if websocket.headers.get("origin") not in os.environ["ALLOWED"].split():
        await websocket.close(1008)
        return
    await websocket.accept()
    await websocket.receive()


APPLICATIONS = {
    "py_starlette": Starlette(routes=[WebSocketRoute("/py_starlette/chat/{number}", chat)]),
    "py_socketio": socketio.ASGIApp(
        socketio.AsyncServer(async_mode="asgi"), socketio_path="py_socketio/socket.io"
    ),
}

listener = socket.create_server(("127.0.0.1", 0))
print("listening", listener.getsockname()[1], flush=True)
config = uvicorn.Config(APPLICATIONS[sys.argv[1]], lifespan="off", log_level="warning")
uvicorn.Server(config).run(sockets=[listener])
