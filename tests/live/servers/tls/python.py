"""WebSocket servers that end TLS themselves: asyncio's memory buffers between the socket and OpenSSL."""

import asyncio
import socket
import ssl
import sys
from http import HTTPStatus

kind, certificate, key = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))


def ready():
    print("listening", listener.getsockname()[1], flush=True)


async def application(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    if scope["path"].startswith("/reject/"):
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def refuse(connection, request):
    if request.path.startswith("/reject/"):
        return connection.respond(HTTPStatus.FORBIDDEN, "not today\n")


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def websockets():
    from websockets.asyncio.server import serve

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serve(echo, sock=listener, ssl=context, process_request=refuse) as server:
        ready()
        await server.serve_forever()


if kind == "uvicorn":
    import uvicorn

    ready()
    config = uvicorn.Config(
        application, lifespan="off", log_level="warning", ssl_certfile=certificate, ssl_keyfile=key
    )
    uvicorn.Server(config).run(sockets=[listener])
else:
    asyncio.run(websockets())
