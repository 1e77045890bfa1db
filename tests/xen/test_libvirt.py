# SPDX-License-Identifier: MIT
"""libvirt's live migration between real nodes: by which network it goes, what it shows, what it leaves open."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab.filters import apply, undo
from tests.lab.hypervisor import libvirt
from tests.lab.hypervisor.cluster import Cluster
from tests.lab.hypervisor.libvirt import Domain
from tests.lab.namespaces import Host
from tests.lab.wait import until
from tests.lab.wire import on_the_wire
from tests.xen.test_migration import MANAGEMENT, OUTSIDE, SCENARIO, runs_on

UNTRUSTED = "untrusted-subnet"
UNTRUSTED_NODES = {"node-a": "203.0.113.11", "node-b": "203.0.113.12"}
#: Rules of both kinds are tried, each on one version.
FILTERS = {"4.17": "nftables", "4.20": "iptables-nft"}
#: What listens on a node where nothing is received: sshd.
SSHD = {"0.0.0.0:22", ":::22"}


def control(node: str) -> str:
    """libvirt on a node, by ssh over the management network."""
    return f"xen+ssh://{MANAGEMENT[node]}/system"


@contextmanager
def listening(node: Host) -> Iterator[set[str]]:
    """What is seen to listen on a node meanwhile, besides sshd."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.update(set(node.tcp_listeners()) - SSHD)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_the_network_the_port_and_the_memory(start_cluster, xen):
    """In one go, since each migration takes its time: the data leaves by the wrong network; a failure leaves a port
    open, and whoever comes by it may hand in a guest; rules close it; named, the right network is taken; and in a
    tunnel there is neither port nor memory to be seen."""
    lab = start_cluster(SCENARIO, xen)
    a, b, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    libvirt.start(a, b)
    assert set(a.tcp_listeners()) == set(b.tcp_listeners()) == SSHD
    guest = Domain("h1")
    guest.create(a)
    before = guest.next_line(a)
    secret = before.identity.encode()

    def migrate(source: Host, target: Host, *options: str):
        with ExitStack() as stack:
            wires = {name: stack.enter_context(on_the_wire(lab, name)) for name in ("outside", "management")}
            seen = stack.enter_context(listening(target))
            done = guest.migrate(source, control(target.name), *options)
        return done, wires, {name for name, wire in wires.items() if secret in wire.frames}, seen

    # The connection is made over the management network, and the data goes where the target's own name leads: it
    # listens on all addresses of that name, and the source takes the first.
    done, wires, clear, seen = migrate(a, b)
    assert done.returncode == 0, done
    assert clear == {"outside"}
    assert seen == {f"{OUTSIDE['node-b']}:49152", f"{MANAGEMENT['node-b']}:49152", "2001:db8:2::12:49152",
                    "2001:db8:1::2:49152"}
    runs_on(guest, b, a, before)
    recorded = wires["outside"].sent_to(49152)

    # An attempt that fails, here because node-a refuses node-b.
    a.run("nft", "add table inet t; add chain inet t c { type filter hook input priority -20; }; "
                 f"add rule inet t c ip saddr {OUTSIDE['node-b']} tcp dport 49152 reject with tcp reset")
    done, _, clear, seen = migrate(b, a, "--migrateuri", f"tcp://{OUTSIDE['node-a']}")
    assert done.returncode != 0 and "Connection refused" in done.stderr, done
    assert not clear
    runs_on(guest, b, a, before)
    left_open = set(a.tcp_listeners()) - SSHD
    assert left_open == seen == {f"{OUTSIDE['node-a']}:49152"}
    apply(a, FILTERS[xen], f"{SCENARIO}/libvirt")
    assert outsider.probe(OUTSIDE["node-a"], 49152) == "refused"
    undo(a, FILTERS[xen], f"{SCENARIO}/libvirt")
    # Without the rules a stranger hands in what it has recorded.
    Path(f"/proc/{outsider.pid}/root/run/recorded").write_bytes(recorded)
    outsider.sh(f"nc -Nw 20 {OUTSIDE['node-a']} 49152 </run/recorded")
    until(lambda: super(Domain, guest).listed(a), "the stranger's guest is there")
    assert "h1" not in a.run("virsh", "list", "--all", check=False).stdout
    guest.next_line(b)
    a.run("xl", "destroy", "h1")
    a.run("nft", "delete", "table", "inet", "t")

    apply(a, FILTERS[xen], f"{SCENARIO}/libvirt")
    libvirt.restart(a, b)
    assert set(a.tcp_listeners()) == SSHD
    done, _, clear, seen = migrate(b, a, "--migrateuri", f"tcp://{MANAGEMENT['node-a']}")
    assert done.returncode == 0, done
    assert (clear, seen) == ({"management"}, {f"{MANAGEMENT['node-a']}:49152"})
    runs_on(guest, a, b, before)

    done, _, clear, seen = migrate(a, b, "--p2p", "--tunnelled")
    assert done.returncode == 0, done
    assert (clear, seen) == (set(), set())
    runs_on(guest, b, a, before)


#: A stranger with a certificate of the nodes' own authority: one that a tool of yours might have.
STRANGER = "tool"


def certify(lab: Cluster) -> None:
    """Make certificates on node-a, and bring each node its own as the guide has it; node-a has the stranger's, too."""
    a = lab["node-a"]
    for name, address in {**UNTRUSTED_NODES, STRANGER: "203.0.113.66"}.items():
        a.run("sh", "domain-0/libvirt-certificate.sh", name, address)
    for name in UNTRUSTED_NODES:
        for file in ("cacert", "cert", "key"):
            lab[name].sh(f"mkdir -p {name}")
            lab[name].run("tee", f"{name}/{file}.pem", input=a.run("cat", f"{name}/{file}.pem").stdout)
        lab[name].sh(INSTALL.format(name=name))
    a.sh(f"cd {STRANGER}; mv cert.pem clientcert.pem; mv key.pem clientkey.pem")


INSTALL = """
    install -d -m 755 /etc/pki/CA /etc/pki/libvirt
    install -d -m 700 /etc/pki/libvirt/private
    install -m 644 {name}/cacert.pem /etc/pki/CA/cacert.pem
    for role in server client; do
        install -m 644 {name}/cert.pem /etc/pki/libvirt/${{role}}cert.pem
        install -m 600 {name}/key.pem /etc/pki/libvirt/private/${{role}}key.pem
    done
"""


#: Starts the daemon as systemd does for its socket units: with the ports already open, on every address.
ACTIVATE = """
import os, socket
os.makedirs("/run/libvirt", exist_ok=True)
local = socket.socket(socket.AF_UNIX)
local.bind("/run/libvirt/libvirt-sock")
local.listen()
tls = socket.create_server(("::", 16514), family=socket.AF_INET6, dualstack_ipv6=True)
for number, copy in enumerate([os.dup(sock.fileno()) for sock in (local, tls)], 3):
    os.dup2(copy, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="libvirtd.socket:libvirtd-tls.socket")
os.execvp("libvirtd", ["libvirtd", "--pid-file", "/run/activated.pid"])
"""


@pytest.mark.parametrize("xen", ["4.20"])
def test_control_over_tls_and_the_data_in_it(start_cluster, xen):
    """On an untrusted subnet: a node is let in by its certificate's name, and the guest moves in that connection or
    not at all."""
    lab = start_cluster(UNTRUSTED, xen)
    a, b, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    address = UNTRUSTED_NODES["node-b"]
    tls = f"xen+tls://{address}/system"
    certify(lab)
    libvirt.start(a, b, options="--listen")
    assert set(b.tcp_listeners()) - SSHD == {"0.0.0.0:16514", ":::16514"}
    assert outsider.probe(address, 16514) == "open"
    for node in (a, b):
        apply(node, FILTERS[xen], f"{UNTRUSTED}/libvirt")
    assert outsider.probe(address, 16514) == "refused"
    # One of the authority's certificates is enough, until there is a list of names; and without one there is nothing.
    by_another_name = ("virsh", "-c", f"{tls}?pkipath={a.examples}/{STRANGER}", "list")
    assert a.run(*by_another_name).returncode == 0
    for node in (a, b):
        node.sh("cat domain-0/libvirtd.conf >>/etc/libvirt/libvirtd.conf")
    libvirt.restart(a, b, options="--listen")
    assert "Unable to read TLS confirmation" in a.run(*by_another_name, check=False).stderr
    a.sh(f"rm {STRANGER}/client*.pem")
    assert a.run(*by_another_name, check=False).returncode != 0
    assert a.run("virsh", "-c", tls, "list").returncode == 0

    guest = Domain("h1")
    guest.create(a)
    before = guest.next_line(a)
    failed = guest.migrate(a, tls)
    assert failed.returncode != 0 and "refused" in failed.stderr, failed
    runs_on(guest, a, b, before)
    libvirt.restart(a, options="--listen")
    # With systemd's socket units the port is open on every address, whatever is set.
    b.sh("""
        kill $(cat /run/libvirtd.pid)
        while [ -e /run/libvirtd.pid ]; do sleep 0.1; done
        rm -f /run/libvirt/libvirt-sock
        echo 'listen_addr = "203.0.113.12"' >>/etc/libvirt/libvirtd.conf
    """)
    daemon = b.popen("python3", "-c", ACTIVATE)
    until(lambda: b.run("virsh", "list", check=False).returncode == 0, "the daemon answers", daemon)
    with on_the_wire(lab, "untrusted") as wire, listening(b) as seen:
        done = guest.migrate(a, tls, "--p2p", "--tunnelled")
    assert done.returncode == 0, done
    runs_on(guest, b, a, before)
    assert before.identity.encode() not in wire.frames
    assert seen == {":::16514"}

    # An impostor: node-a with the certificate of another answers in its own place.
    a.sh("""
        sh domain-0/libvirt-certificate.sh impostor 203.0.113.66
        cp impostor/cert.pem /etc/pki/libvirt/servercert.pem
        cp impostor/key.pem /etc/pki/libvirt/private/serverkey.pem
    """)
    libvirt.restart(a, options="--listen")
    failed = guest.migrate(b, f"xen+tls://{UNTRUSTED_NODES['node-a']}/system", "--p2p", "--tunnelled")
    assert failed.returncode != 0 and "ertificate" in failed.stderr, failed
    runs_on(guest, b, a, before)
