# SPDX-License-Identifier: MIT
"""libvirt's live migration between real nodes: by which network it goes, what it shows, what it leaves open."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.lab.filters import apply
from tests.lab.hypervisor import libvirt
from tests.lab.hypervisor.libvirt import Domain
from tests.lab.namespaces import Host
from tests.lab.wire import on_the_wire
from tests.xen.test_migration import MANAGEMENT, OUTSIDE, SCENARIO, runs_on

#: Rules of both kinds are tried, each on one version.
FILTERS = {"4.17": "nftables", "4.20": "iptables-nft"}
#: What listens on a node where nothing is received: sshd.
SSHD = {"0.0.0.0:22", ":::22"}


def control(node: str) -> str:
    """libvirt on a node, by ssh over the management network."""
    return f"xen+ssh://{MANAGEMENT[node]}/system"


def listeners(node: Host) -> set[str]:
    return set(node.ask(do="tcp_listeners")["sockets"])


@contextmanager
def listening(node: Host) -> Iterator[set[str]]:
    """What is seen to listen on a node meanwhile, besides sshd."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.update(listeners(node) - SSHD)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_the_network_the_data_and_the_port(start_cluster, xen):
    """In one go, since each migration takes its time: the data leaves by the wrong network, is kept from it, and leaves
    by the right one; a failure leaves a port open; in a tunnel there is neither port nor memory to be seen."""
    lab = start_cluster(SCENARIO, xen)
    a, b = lab["node-a"], lab["node-b"]
    libvirt.start(a, b)
    assert listeners(a) == listeners(b) == SSHD
    guest = Domain("h1")
    guest.create(a)
    before = guest.next_line(a)
    secret = before.identity.encode()

    def migrate(source: Host, target: Host, *options: str):
        with ExitStack() as stack:
            wires = {name: stack.enter_context(on_the_wire(lab, name)) for name in ("outside", "management")}
            seen = stack.enter_context(listening(target))
            done = guest.migrate(source, control(target.name), *options)
        return done, {name for name, wire in wires.items() if secret in wire.frames}, seen

    # The connection is made over the management network, and the data goes where the target's own name leads.
    done, clear, seen = migrate(a, b)
    assert done.returncode == 0, done
    assert (clear, seen) == ({"outside"}, {f"{OUTSIDE['node-b']}:49152"})
    runs_on(guest, b, a, before)

    apply(a, FILTERS[xen], f"{SCENARIO}/libvirt")
    done, clear, seen = migrate(b, a)
    assert done.returncode != 0 and "refused" in done.stderr, done
    assert not clear
    runs_on(guest, b, a, before)
    # What was opened stays open, but for the rules.
    assert listeners(a) - SSHD == {f"{OUTSIDE['node-a']}:49152"}
    assert lab["outsider"].probe(OUTSIDE["node-a"], 49152) == "refused"
    libvirt.restart(a, b)
    assert listeners(a) == SSHD

    done, clear, seen = migrate(b, a, "--migrateuri", f"tcp://{MANAGEMENT['node-a']}")
    assert done.returncode == 0, done
    assert (clear, seen) == ({"management"}, {f"{MANAGEMENT['node-a']}:49152"})
    runs_on(guest, a, b, before)

    done, clear, seen = migrate(a, b, "--p2p", "--tunnelled")
    assert done.returncode == 0, done
    assert (clear, seen) == (set(), set())
    runs_on(guest, b, a, before)
