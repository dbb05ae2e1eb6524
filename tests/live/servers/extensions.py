"""Sends a request to [::1] behind IPv6 extension headers: with Hop-by-Hop and Destination Options in front of TCP.

In: the port; the request on standard input. Out: the answer's status.
"""

import socket
import sys

PADDING = bytes([0, 0, 1, 4, 0, 0, 0, 0])  # PadN of four bytes: RFC 8200 section 4.2

request = sys.stdin.buffer.read()
with socket.socket(socket.AF_INET6) as client:
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, PADDING)
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, PADDING)
    client.connect(("::1", int(sys.argv[1])))
    client.sendall(request)
    print(client.makefile("rb").readline().split()[1].decode())
