# SPDX-License-Identifier: MIT
"""Rules that are kept as the guide has it, on nodes with systemd: a boot, a restart, an upgrade, and going down.

An outsider tries to connect all the time. Something listens on the nodes' ports long before there is a network, so that
whatever could get in does.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.lab.cycle import Probes, fail, probes, succeed
from tests.lab.filters import apply
from tests.lab.hypervisor.systemd import Cluster, Node
from tests.lab.wait import until

ISOLATED, SUBNET, UNTRUSTED = "isolated-management-network", "subnet-behind-a-firewall", "untrusted-subnet"
GUESTS = f"{SUBNET}/guests"
#: In each scenario: which host is next to the nodes when the outsider's packets come, and by which card.
NEIGHBOUR = {ISOLATED: ("outsider", "eth0"), SUBNET: ("border", "eth1"), UNTRUSTED: ("outsider", "eth0")}
#: Who relocates to which addresses.
BETWEEN = {"node-a": ["192.168.1.2", "2001:db8:1::2"], "node-b": ["192.168.1.1", "2001:db8:1::1"]}
RELOCATING = {ISOLATED: BETWEEN, SUBNET: BETWEEN, UNTRUSTED: {"node-a": ["127.0.0.1"], "node-b": ["127.0.0.1"]}}
#: The page's file that has a stop of nftables.service do nothing.
NO_STOP = """
    mkdir -p /etc/systemd/system/nftables.service.d
    printf '[Service]\\nExecStop=\\n' >/etc/systemd/system/nftables.service.d/stop.conf
    systemctl daemon-reload
"""
#: A unit that is not as it should be.
LATE = """
[Unit]
After=networking.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft 'include "/etc/nftables.d/*.nft"'
ExecStop=/usr/sbin/nft flush ruleset
[Install]
WantedBy=multi-user.target
"""
#: A guest on a node, or what the bridge can tell of one.
GUEST = """
    ip netns add guest
    ip link add vif1.0 type veth peer name eth0 netns guest
    ip link set vif1.0 master xenbr0 up
    ip -n guest address add "$1" dev eth0
    ip -n guest link set eth0 up
"""
#: The page's file that has systemd open libvirt's port for TLS on the management network's addresses.
LISTEN = """
    mkdir -p /etc/systemd/system/libvirtd-tls.socket.d
    cp isolated-management-network/libvirtd-tls-listen.conf /etc/systemd/system/libvirtd-tls.socket.d/listen.conf
"""
#: Seconds in which dpkg has installed a package, on an emulated processor.
DPKG = 300


def keep_nft(node: Node, names: list[str]) -> None:
    """Have the rules in the folder that a service loads; nothing is in force yet."""
    node.run("mkdir", "-p", "/etc/nftables.d")
    for name in names:
        node.run("cp", f"{name}.nft", f"/etc/nftables.d/{name.replace('/', '-')}.nft")


def nftables_as_shipped(node: Node, names: list[str]) -> None:
    """Debian's nftables.service, and its file with one more line."""
    keep_nft(node, names)
    node.sh("""
        echo 'include "/etc/nftables.d/*.nft"' >>/etc/nftables.conf
        nft -c -f /etc/nftables.conf
        systemctl enable nftables
    """)


def nftables_without_stop(node: Node, names: list[str]) -> None:
    """As the page has it."""
    nftables_as_shipped(node, names)
    node.sh(NO_STOP)


def xen_rules(node: Node, names: list[str]) -> None:
    """The unit of our own."""
    keep_nft(node, names)
    node.sh("""
        cp domain-0/xen-rules.service /etc/systemd/system/
        systemctl daemon-reload
        systemctl enable xen-rules
    """)


def netfilter_persistent(node: Node, names: list[str]) -> None:
    """Rules of iptables; the guests' have no such form, and so nftables.service is beside it."""
    # Not there before the first boot with a network, and the check of the values asks for it.
    node.run("ip", "link", "add", "xenbr0", "type", "bridge")
    for name in names:
        if name == GUESTS:
            nftables_without_stop(node, [name])
            node.sh("sed -i 's/^flush ruleset/table inet filter\\ndelete table inet filter/' /etc/nftables.conf")
        else:
            apply(node, "iptables-nft", name)
    node.sh("iptables-save >/etc/iptables/rules.v4; ip6tables-save >/etc/iptables/rules.v6")


@dataclass(frozen=True)
class Way:
    """A way to keep rules: what does it, its unit, and the commands that open nothing, and those that do."""

    keep: Callable[[Node, list[str]], None]
    unit: str
    quiet: tuple[str, ...]
    opens: tuple[str, ...] = ()


WAYS = {
    "nftables as shipped": Way(
        nftables_as_shipped, "nftables.service", ("systemctl reload nftables",),
        ("systemctl restart nftables", "dpkg -i /lab/nftables_*.deb",
         "systemctl stop nftables; systemctl start nftables")),
    "nftables without stop": Way(
        nftables_without_stop, "nftables.service",
        ("systemctl reload nftables", "systemctl restart nftables", "dpkg -i /lab/nftables_*.deb",
         "systemctl stop nftables")),
    "netfilter-persistent": Way(
        netfilter_persistent, "netfilter-persistent.service",
        ("systemctl restart netfilter-persistent", "netfilter-persistent reload", "netfilter-persistent restart",
         "dpkg -i /lab/netfilter-persistent_*.deb", "systemctl stop netfilter-persistent")),
    "xen-rules": Way(
        xen_rules, "xen-rules.service",
        ("systemctl reload xen-rules", "systemctl restart xen-rules", "dpkg -i /lab/nftables_*.deb",
         "systemctl stop xen-rules"))}


#: Which way is tried on which node: each on Debian 12, and what Debian ships also on Debian 13.
KEPT = {ISOLATED: {"node-a": "nftables without stop", "node-b": "nftables as shipped"},
        SUBNET: {"node-a": "xen-rules", "node-b": "netfilter-persistent"},
        UNTRUSTED: {"node-a": "nftables as shipped", "node-b": "netfilter-persistent"}}


@pytest.fixture
def start(start_cluster, xen: str) -> Callable[[str], Cluster]:
    """Start a scenario's nodes, and have their neighbour never forget their Ethernet addresses: so packets arrive as
    soon as there is a network, without anybody asking for it first."""
    def start(scenario: str) -> Cluster:
        lab = start_cluster(scenario, xen, kind=Cluster)
        name, card = NEIGHBOUR[scenario]
        for number, node in enumerate(lab.nodes):
            for address in outside(lab, node.name):
                lab[name].run("ip", "neighbour", "replace", address, "lladdr", Node.mac_of(number, "eth0"), "dev", card,
                              "nud", "permanent")
        return lab
    return start


def outside(lab: Cluster, name: str) -> list[str]:
    """The addresses of a node that the outsider can see, IPv4 and IPv6."""
    return [lab[name].address(version) for version in (4, 6)]


def wanted(lab: Cluster) -> Probes:
    found = probes(lab, ["admin"], [address for node in lab.nodes for address in outside(lab, node.name)], 22)
    for name, targets in RELOCATING[lab.topology.name].items():
        found |= probes(lab, [name], targets)
    return found


def attacks(lab: Cluster, *names: str) -> Probes:
    return probes(lab, ["outsider"], [address for name in names for address in outside(lab, name)], 22, 5900, 8002)


@contextmanager
def outsider_tries(lab: Cluster, *names: str) -> Iterator[dict[str, int]]:
    """Meanwhile the outsider connects to the relocation port of nodes, and to one that Domain-0's rules alone close.
    Then the yielded dict has for each node how often it got in."""
    got_in = dict.fromkeys(names, 0)
    results = []
    with ExitStack() as stack:
        for name in names:
            v4, v6 = outside(lab, name)
            for address, port in ((v4, 8002), (v6, 8002), (v4, 5900)):
                # The pause leaves the node something of its emulated processor.
                results.append((name, stack.enter_context(lab["outsider"].hammering(address, port, pause=0.1))))
        yield got_in
    assert all(result["tries"] > 20 for _, result in results), results
    for name, result in results:
        got_in[name] += result["open"]


def before_the_network(node: Node, *services: str) -> None:
    """systemd's own account of the boot: the ports were open and the rules in force when the first card came up."""
    cards = [f"ifup@{card}.service" for card in node.described.interfaces if card.startswith("eth")]
    began = node.times("InactiveExit", "networking.service", *cards)
    ended = node.times("ActiveEnter", "lab-ports.socket", *services, "network-pre.target")
    assert 0 < min(ended) and max(ended) <= min(began), (ended, began)


@pytest.mark.parametrize("xen", ["4.17"])
def test_an_outsider_gets_in_where_rules_come_late(start):
    """What the other test relies on: without rules the outsider is in, and where they come after the network, or go
    before it, it is in for that moment."""
    lab = start(ISOLATED)
    late = lab["node-b"]
    keep_nft(late, ["domain-0/firewall", f"{ISOLATED}/firewall"])
    late.run("tee", "/etc/systemd/system/late.service", input=LATE)
    late.run("systemctl", "enable", "late")
    with outsider_tries(lab, "node-a", "node-b") as got_in:
        lab.reboot()
        fail(attacks(lab, "node-b"))
    assert min(got_in.values()) > 0, got_in
    succeed(attacks(lab, "node-a") | wanted(lab))
    with pytest.raises(AssertionError):
        before_the_network(late, "late.service")
    with outsider_tries(lab, "node-b") as got_in:
        late.go_down()
    assert got_in["node-b"] > 0


@pytest.mark.parametrize("xen, scenario", [("4.17", ISOLATED), ("4.17", SUBNET), ("4.20", UNTRUSTED)])
def test_no_open_moment(start, scenario):
    """From the start of the kernel to its end, but for what is known to open."""
    ways = KEPT[scenario]
    lab = start(scenario)
    names = ["domain-0/firewall", f"{scenario}/firewall", *([GUESTS] if scenario == SUBNET else [])]
    lab.all(lambda node: WAYS[ways[node.name]].keep(node, names))
    if scenario == ISOLATED:
        lab["node-a"].sh(LISTEN)
        lab.all(lambda node: node.run("systemctl", "enable", "libvirtd-tls.socket"))
    with outsider_tries(lab, *ways) as got_in:
        lab.reboot()
        succeed(wanted(lab), "after a boot: ")
        fail(attacks(lab, *ways), "after a boot: ")
    assert not any(got_in.values()), got_in
    for name, way in ways.items():
        before_the_network(lab[name], WAYS[way].unit)
    if scenario == ISOLATED:
        # As the unit has it, on every address; with the file, on those alone, though they came later than the port.
        assert tls_listeners(lab["node-b"]) == {":::16514"}
        assert tls_listeners(lab["node-a"]) == {"192.168.1.1:16514", "2001:db8:1::1:16514"}

    with outsider_tries(lab, *ways) as got_in:
        lab.all(lambda node: [node.run("sh", "-c", command, timeout=DPKG) for command in WAYS[ways[node.name]].quiet])
    assert not any(got_in.values()), got_in
    for name, way in ways.items():
        for command in WAYS[way].opens:
            with outsider_tries(lab, name) as got_in:
                lab[name].run("sh", "-c", command, timeout=DPKG)
            assert got_in[name], command
    succeed(wanted(lab), "after all commands: ")
    fail(attacks(lab, *ways), "after all commands: ")
    if scenario == SUBNET:
        lab.all(a_guest_is_shut_out)

    with outsider_tries(lab, *ways) as got_in:
        lab.all(Node.go_down)
    assert not any(got_in.values()), got_in


def tls_listeners(node: Node) -> set[str]:
    """Where libvirt's port for TLS is open."""
    return {socket for socket in node.tcp_listeners() if socket.endswith(":16514")}


def a_guest_is_shut_out(node: Node) -> None:
    """A guest of this node does not get at the relocation port of the other, until its rules are gone."""
    node.run("sh", "-euc", GUEST, "sh", {"node-a": "192.168.1.101/24", "node-b": "192.168.1.102/24"}[node.name])
    connect = ("ip", "netns", "exec", "guest", "nc", "-zw", "5", BETWEEN[node.name][0], "8002")
    assert node.run(*connect, check=False).returncode != 0
    node.run("nft", "delete", "table", "bridge", "xen_guests")
    until(lambda: node.run(*connect, check=False).returncode == 0, "the guest gets through")
