#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""answer.py READY PORT…: answers each UDP datagram with the number of the port it came to. The file READY says it listens."""
import select
import socket
import sys
from pathlib import Path

sockets = []
for port in sys.argv[2:]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("", int(port)))
    sockets.append(listener)
Path(sys.argv[1]).touch()
while True:
    for ready in select.select(sockets, [], [])[0]:
        _, sender = ready.recvfrom(2048)
        ready.sendto(f"{ready.getsockname()[1]}\n".encode(), sender)
