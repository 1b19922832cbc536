#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""stream.py NAMESPACE OURS THEIRS: numbered UDP datagrams, all the time, both ways between this network namespace (address
OURS) and NAMESPACE (address THEIRS).

Each line on standard input is answered by one line: "SENT RECEIVED LOST REORDERED FROM_THERE", in all so far; FROM_THERE is
how many of SENT came from NAMESPACE. Sending pauses for that until all datagrams are there, two seconds at most. The first
line comes without being asked for, when the first datagrams are through.
"""
import os
import selectors
import socket
import sys
import time
from pathlib import Path

PORT = 9999
# Two datagrams at once, one each way.
INTERVAL = 0.01
PATIENCE = 2.0
ROOM = 4 << 20
# Python does not know it.
SO_RCVBUFFORCE = 33


class End:
    """One end: what it sent, and what it received from the other end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # A slow machine must not lose datagrams at the receiver, where netkit has delivered them already.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self.socket.setblocking(False)
        self.socket.bind((address, PORT))
        self.sent = 0
        self.seen: set[int] = set()
        self.newest = -1
        self.reordered = 0

    def send(self) -> None:
        self.socket.send(self.sent.to_bytes(8))
        self.sent += 1

    def receive(self) -> None:
        number = int.from_bytes(self.socket.recv(8))
        if number < self.newest:
            self.reordered += 1
        self.newest = max(number, self.newest)
        self.seen.add(number)


class Stream:
    def __init__(self, namespace: str, ours: str, theirs: str) -> None:
        with open("/proc/self/ns/net") as here, open(f"/run/netns/{namespace}") as there:
            os.setns(there.fileno(), os.CLONE_NEWNET)
            self.there = End(theirs)
            os.setns(here.fileno(), os.CLONE_NEWNET)
        self.here = End(ours)
        self.here.socket.connect((theirs, PORT))
        self.there.socket.connect((ours, PORT))
        self.ends = (self.here, self.there)
        self.sockets = selectors.DefaultSelector()
        for end in self.ends:
            self.sockets.register(end.socket, selectors.EVENT_READ, end)

    def receive_until(self, deadline: float) -> bool:
        """Receives what comes, until then. Whether something came."""
        ready = self.sockets.select(max(0.0, deadline - time.monotonic()))
        for key, _ in ready:
            key.data.receive()
        return bool(ready)

    def lost(self) -> int:
        return self.here.sent - len(self.there.seen) + self.there.sent - len(self.here.seen)

    def report(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.lost() and time.monotonic() < deadline:
            self.receive_until(deadline)
        sent = sum(end.sent for end in self.ends)
        received = sum(len(end.seen) for end in self.ends)
        reordered = sum(end.reordered for end in self.ends)
        print(sent, received, self.lost(), reordered, self.there.sent, flush=True)

    def run(self) -> None:
        """Until standard input ends."""
        questions = selectors.DefaultSelector()
        questions.register(sys.stdin, selectors.EVENT_READ)
        asked = True
        while True:
            due = time.monotonic() + INTERVAL
            for end in self.ends:
                end.send()
            while self.receive_until(due):
                pass
            if questions.select(0):
                if not sys.stdin.readline():
                    return
                asked = True
            if asked:
                self.report()
                asked = False


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {Path(sys.argv[0]).name} NAMESPACE OURS THEIRS")
    Stream(*sys.argv[1:]).run()
