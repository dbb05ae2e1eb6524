"""Handshakes whose bytes are moved by calls that a probe can misread. argv: `unix PATH` or `tcp`.

Each side's buffers hold, behind what the calls are given, a handshake with a secret in it: whoever reads beyond a
message tells of it.
"""

import base64
import hashlib
import os
import socket
import struct
import sys

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def request(path, origin="https://app.example"):
    return (
        f"GET {path} HTTP/1.1\r\nHost: here.example\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ).encode()


# As a first line's rest, so that what is read too far makes a whole handshake.
SECRET = b"SECRET-CANARY" + request("/SECRET-CANARY", "https://secret-canary.example")[4:] * 3
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
).encode()

if sys.argv[1] == "unix":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[2])
else:
    listener = socket.create_server(("127.0.0.1", 0))
listener.listen()


def pair():
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    return client, server


def room(size, before=b""):
    """A buffer of this size inside a larger one full of secrets."""
    whole = bytearray(before + b"\0" * size + SECRET * 4)
    whole[len(before) : len(before) + size] = (SECRET * 9)[:size]
    return memoryview(whole)[len(before) : len(before) + size]


def all_of(server, length, take):
    got = 0
    while got < length:
        got += take(server)
    assert got == length, got


def refuse(client, server):
    server.sendall(REFUSAL)
    assert client.recv(4096).startswith(b"HTTP/1.1 403")
    client.close()
    server.close()


def short_first_element():
    client, server = pair()
    sent = request("/calls/short-first-element")
    client.sendall(sent)
    first, second = room(20), room(4096)
    got, *_ = server.recvmsg_into([first, second])
    assert got == len(sent), got
    refuse(client, server)


def short_read():
    client, server = pair()
    sent = request("/calls/short-read")
    client.sendall(sent)
    all_of(server, len(sent), lambda socket: socket.recv_into(room(100)))
    refuse(client, server)


def large_room():
    client, server = pair()
    sent = request("/calls/large-room")
    client.sendall(sent)
    assert server.recv_into(room(8192)) == len(sent)
    refuse(client, server)


def writev_pieces():
    client, server = pair()
    sent = request("/calls/writev")
    pieces = [sent[:2], b"", sent[2:9], sent[9:40], sent[40:]]
    buffers = [room(len(piece)) for piece in pieces]
    for buffer, piece in zip(buffers, pieces):
        buffer[:] = piece
    assert os.writev(client.fileno(), buffers) == len(sent)
    all_of(server, len(sent), lambda socket: len(socket.recv(4096)))
    refuse(client, server)


def byte_by_byte():
    client, server = pair()
    sent = request("/calls/bytes")
    for byte in sent:
        client.sendall(bytes([byte]))
        assert len(server.recv(1)) == 1
    refuse(client, server)


def peeked():
    client, server = pair()
    sent = request("/calls/peeked")
    client.sendall(sent)
    for _ in range(3):
        assert server.recv_into(room(4096), 4096, socket.MSG_PEEK) == len(sent)
    all_of(server, len(sent), lambda socket: len(socket.recv(4096)))
    refuse(client, server)


def partial_send():
    """A send that the kernel takes a part of, again and again: the message counts once."""
    client, server = pair()
    client.sendall(request("/calls/partial"))
    assert server.recv(4096)
    server.sendall(SWITCH)
    assert client.recv(4096) == SWITCH
    server.setblocking(False)
    size = 3_000_000
    message = b"\x82\x7f" + struct.pack("!Q", size) + b"x" * size
    sent = taken = refused = 0
    while sent < len(message):
        try:
            sent += server.send(message[sent : sent + 400_000])
        except BlockingIOError:
            refused += 1
            taken += len(client.recv(1_000_000))
    assert refused, "the kernel took all of it"
    while taken < len(message):
        taken += len(client.recv(1_000_000))
    server.setblocking(True)
    server.sendall(b"\x88\x02\x03\xe8")
    assert client.recv(100) == b"\x88\x02\x03\xe8"
    client.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
    assert server.recv(100)
    server.close()
    client.close()


def dropped():
    """TCP's MSG_TRUNC drops what comes: the buffer is not written, and must not be read."""
    if listener.family == socket.AF_UNIX:
        return
    client, server = pair()
    client.sendall(b"x" * 500)
    buffer = room(500)
    buffer[:] = (b"GET /" + SECRET * 9)[:500]
    assert server.recv_into(buffer, 500, socket.MSG_TRUNC) == 500
    client.sendall(request("/calls/dropped"))
    assert server.recv(4096)
    refuse(client, server)


for call in [short_first_element, short_read, large_room, writev_pieces, byte_by_byte, peeked, partial_send, dropped]:
    call()
print("done", flush=True)
