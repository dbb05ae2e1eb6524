"""TLS clients, many at a time: what each did and saw, a line of JSON each.

Arguments: port, rounds, how many at a time, a name for the paths."""

import base64
import json
import os
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

port, rounds, together, name = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
MASK = b"\x01\x02\x03\x04"
CASES = ["clean", "ping", "refused", "split", "dropped", "reset"]


def frame(opcode, content):
    masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(content))
    return bytes([0x80 | opcode, 0x80 | len(content)]) + MASK + masked


def connect(number):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    version = ssl.TLSVersion.TLSv1_2 if number % 2 else ssl.TLSVersion.TLSv1_3
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", port), 60)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, number // 2 % 2)
    return context.wrap_socket(plain, server_hostname="app.example")


def one(number):
    case = CASES[number % len(CASES)]
    path = f"/reject/403/{name}-{number}" if case == "refused" else f"/accept/{name}-{number}"
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET {path}?token=SECRET-{name} HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nOrigin: https://app.example\r\nCookie: id=SECRET-{name}\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    stream = connect(number)
    own = stream.getsockname()[1]
    pieces = [head[:7], head[7:90], head[90:]] if case == "split" else [head]
    for piece in pieces:
        stream.sendall(piece)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = stream.recv(4096)
        if not more:
            break
        answer += more
    status = int(answer.split(b" ")[1])
    if status == 101:
        if case == "ping":
            stream.sendall(frame(9, b"alive?"))
            stream.recv(100)
        stream.sendall(frame(1, b"hello SECRET-" + name.encode()))
        stream.recv(200)
        if case == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif case != "dropped":
            stream.sendall(frame(8, struct.pack("!H", 1000)))
            stream.recv(100)
    stream.close()
    return {"path": path, "port": own, "status": status, "case": case}


with ThreadPoolExecutor(together) as pool:
    for seen in pool.map(one, range(rounds)):
        print(json.dumps(seen), flush=True)
