"""Django Channels on daphne, with its validator of origins."""

import os

import django
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from daphne.server import Server
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import re_path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="of a test")
django.setup()

chat = URLRouter([re_path("^py_channels/chat/", WebsocketConsumer.as_asgi())])
server = Server(
    ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": OriginValidator(chat, os.environ["ALLOWED"].split()),
    }),
    endpoints=["tcp:port=0:interface=127.0.0.1"],
    ready_callable=lambda: print("listening", server.listening_addresses[0][1], flush=True),
)
server.run()
