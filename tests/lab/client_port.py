# SPDX-License-Identifier: MIT
"""Connections that have the relocation port at the other end, their client's: any client may have come to choose it."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator

from tests.lab.cycle import Probes
from tests.lab.namespaces import Host
from tests.lab.wait import until

#: Where the servers listen. Nobody may listen on the relocation port itself, which the clients take.
NODES, OTHERS, RELOCATION = 22, 3260, 8002
#: Says its own number and connects to a host and port from a port, until it is killed. No trace is left of the socket.
BEGIN = """
import os, socket, struct, sys
print(os.getpid(), flush=True)
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.bind(("", int(sys.argv[3])))
    try:
        sock.connect((sys.argv[1], int(sys.argv[2])))
        sock.recv(1)
    except ConnectionError:
        pass
"""


def answered(node: Host, other: Host) -> Probes:
    """Probes from the node's relocation port, and to the node from that port of another host, over IPv4 and IPv6."""
    node.listen(NODES)
    other.listen(OTHERS)
    return dict(_answered(node, other))


def _answered(node: Host, other: Host) -> Iterator:
    for version in (4, 6):
        for client, server, port in ((node, other, OTHERS), (other, node, NODES)):
            yield f"{client.name}:{RELOCATION} -> {server.name}:{port}, IPv{version}", (
                lambda client=client, server=server, port=port, version=version:
                client.probe(server.address(version), port, source_port=RELOCATION))


def begun_by_both(node: Host, other: Host) -> Probes:
    """The other host does not answer what the node begins from its relocation port, and begins itself, towards it.

    TCP makes that one connection (RFC 9293, 3.5). To a packet filter that is an answer, if the node's SYN was seen.
    """
    other.run("nft", "table inet deaf { chain input { type filter hook input priority 0; "
                     f"tcp dport {OTHERS + 1} tcp flags & (syn | ack) == syn drop; }}; }}")

    def probe(version: int) -> str:
        peer = other.address(version)
        process = node.popen("python3", "-c", BEGIN, peer, str(OTHERS + 1), str(RELOCATION), stdout=subprocess.PIPE)
        pid = process.stdout.readline().strip()
        until(lambda: node.run("ss", "-Htn", "state", "syn-sent", f"sport = :{RELOCATION} and "
                               f"dst [{peer}]:{OTHERS + 1}").stdout, "the node has begun", process)
        try:
            return other.probe(node.address(version), RELOCATION, source_port=OTHERS + 1)
        finally:
            node.run("kill", pid, check=False)
            process.communicate()

    return {f"{other.name} and {node.name}:{RELOCATION}, IPv{version}": (lambda version=version: probe(version))
            for version in (4, 6)}
