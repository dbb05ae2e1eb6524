"""tornado, which compares Origin with Host unless told otherwise."""

import asyncio

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Chat(WebSocketHandler):
    def prepare(self):
        if self.get_argument("token", "") == "expired":
            self.set_status(401)
            self.finish("token expired\n")
        elif "stale.v1" in self.request.headers.get("Sec-WebSocket-Protocol", ""):
            self.set_status(400)
            self.finish("unsupported subprotocol\n")

    def on_message(self, message):
        self.write_message(message)


async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/py_tornado/chat/.*", Chat)])).add_sockets(sockets)
    print("listening", sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
