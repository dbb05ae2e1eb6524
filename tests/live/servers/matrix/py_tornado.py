"""tornado, which compares Origin with Host unless told otherwise."""

import asyncio

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Chat(WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/py_tornado/chat/.*", Chat)])).add_sockets(sockets)
    print("listening", sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
