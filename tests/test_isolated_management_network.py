# SPDX-License-Identifier: MIT
"""The isolated management network: bound to it, and closed to every other card."""
from __future__ import annotations

import itertools

import pytest

from tests.lab.client_port import answered, begun_by_both
from tests.lab.cycle import assert_cycle, fail, probes, succeed
from tests.lab.filters import accept_before, apply, undo
from tests.lab.namespaces import Host, Lab

SCENARIO = "isolated-management-network"
FIREWALL = f"{SCENARIO}/firewall"
MANAGEMENT = "192.168.1.1"
#: The relocation settings of the file that Xen 3.0.2 to 4.4 shipped.
SHIPPED = r"""
(xend-relocation-server yes)
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$')
"""
#: xend's own defaults where the server is on and nothing else is said.
UNRESTRICTED = "(xend-relocation-server yes)"


#: What a NAT network for guests does to whatever leaves by the management card.
MASQUERADE = """
table inet nat_for_guests {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "eth1" masquerade
    }
}
"""


def configure(lab: Lab, text: str) -> None:
    """Give node-a a configuration and restart xend on it."""
    lab["node-a"].run("tee", "/etc/xen/xend-config.sxp", input=text)
    lab["node-a"].run("xend", "restart")


def configure_example(lab: Lab) -> None:
    lab["node-a"].sh(f"cp {SCENARIO}/xend-config.sxp /etc/xen/xend-config.sxp && xend restart")


def route_to_management(lab: Lab) -> None:
    """The attack on an address: by a route to the node's outside card."""
    for name in ("outsider", "guest-a"):
        lab[name].sh("ip route add 192.168.1.0/24 via 203.0.113.11; ip route add 2001:db8:1::/64 via 2001:db8:2::11")


def from_outside(lab: Lab, action: str = "relocate") -> dict:
    """Every way to the relocation port of node-a that is not the management network."""
    targets = ["203.0.113.11", MANAGEMENT]
    return {f"{name} -> {target}": (lambda name=name, target=target: getattr(lab[name], action)(target, 8002))
            for name in ("outsider", "guest-a", "admin") for target in targets
            if (name, target) != ("admin", MANAGEMENT)}  # which has no route to it


def from_management(lab: Lab) -> dict:
    return {"node-b -> management": lambda: lab["node-b"].relocate(MANAGEMENT)}


def from_management_by_tcp(lab: Lab) -> dict:
    return {f"node-b -> {target}": (lambda target=target: lab["node-b"].probe(target, 8002))
            for target in (MANAGEMENT, "2001:db8:1::1")}


def test_the_shipped_configuration_is_reached_from_everywhere(make_lab):
    """It listens on every address; hosts-allow alone decides, by reverse DNS, and a PTR record is the peer's own."""
    lab = make_lab(SCENARIO)
    configure(lab, SHIPPED)
    assert lab["outsider"].probe("203.0.113.11", 8002) == "open"
    assert lab["outsider"].relocate("203.0.113.11") == "rejected"
    # The outsider's PTR record says localhost: the lab's resolver is the hosts file.
    lab["node-a"].sh("sed -i 's/^203.0.113.66 .*/203.0.113.66 localhost/' /etc/hosts")
    assert lab["outsider"].relocate("203.0.113.11") == "ready"


def test_without_hosts_allow_every_outsider_relocates(make_lab):
    lab = make_lab(SCENARIO)
    configure(lab, UNRESTRICTED)
    succeed({"outsider": lambda: lab["outsider"].relocate("203.0.113.11"),
             "guest": lambda: lab["guest-a"].relocate("203.0.113.11"),
             "node-b": lambda: lab["node-b"].relocate(MANAGEMENT)})


@pytest.mark.parametrize("address", [MANAGEMENT, "eth1"])
def test_an_address_alone_still_lets_in_who_routes_to_it(make_lab, address):
    """Binding an address does not bind a network card, with the strict reverse path check on."""
    lab = make_lab(SCENARIO)
    configure(lab, f"(xend-relocation-server yes) (xend-relocation-address '{address}')")
    assert lab["node-a"].run("ss", "-Hltn", "sport = :8002").stdout.split()[3] == f"{MANAGEMENT}:8002"
    assert lab["outsider"].probe("203.0.113.11", 8002) == "refused"
    route_to_management(lab)
    assert lab["outsider"].relocate(MANAGEMENT) == "ready"
    assert lab["guest-a"].relocate(MANAGEMENT) == "ready"


def test_the_configuration_admits_the_management_network_only(make_lab):
    lab = make_lab(SCENARIO)
    configure_example(lab)
    route_to_management(lab)
    succeed(from_management(lab))
    fail(from_outside(lab))
    assert lab["outsider"].probe("203.0.113.11", 8002) == "refused"  # there is nobody to reject
    # A name that looks like one of its addresses is none.
    for name in ("192x168.1.66", "192.168x1.66", "192.168.1x66", "192.168.1.66.example", "192.168.1.x.example"):
        lab["node-a"].sh(f"sed -i 's/^203.0.113.66 .*/203.0.113.66 {name}/' /etc/hosts")
        assert lab["outsider"].relocate(MANAGEMENT) == "rejected", name


def test_both_together(start, packet_filter):
    """The address and the rule by network card: only the management network gets in."""
    lab = start(SCENARIO)
    node = lab["node-a"]
    route_to_management(lab)
    accept_before(node)
    # Every address and no hosts-allow, so that it is the rule which decides.
    configure(lab, UNRESTRICTED)
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 from_outside(lab), from_management(lab))
    apply(node, packet_filter, FIREWALL)
    configure_example(lab)
    fail(from_outside(lab))
    succeed(from_management(lab))
    for address in ("203.0.113.11", "2001:db8:2::11"):  # as if nothing listened
        assert lab["outsider"].ask(do="refusal", address=address, port=8002)["refusal"] == "reset"


def test_ipv6_is_closed_too(start, packet_filter):
    """xend knows no IPv6; the rule holds for whatever listens on the port."""
    lab = start(SCENARIO)
    node = lab["node-a"]
    node.listen(8002)
    node.listen(22)
    accept_before(node)
    route_to_management(lab)
    attacks = probes(lab, ("outsider", "guest-a"), ("2001:db8:2::11", "2001:db8:1::1"))
    wanted = {"node-b": lambda: lab["node-b"].probe("2001:db8:1::1", 8002),
              "another port": lambda: lab["outsider"].probe("2001:db8:2::11", 22),
              "another port over IPv4": lambda: lab["outsider"].probe("203.0.113.11", 22)}
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 attacks, wanted)


def test_a_client_may_have_that_port(start, packet_filter):
    """What answers a connection is no relocation, and what only looks like an answer is refused."""
    lab = start(SCENARIO)
    node, outsider = lab["node-a"], lab["outsider"]
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 begun_by_both(node, outsider), answered(node, outsider))


def test_a_stranger_on_the_management_card(start, packet_filter):
    """The rule asks for the source as well as for the card."""
    lab = start(SCENARIO)
    node, other = lab["node-a"], lab["node-b"]
    node.listen(8002)
    #: From anywhere, and from right beside the management network.
    strangers = ["10.9.9.9", "192.168.0.9", "2001:db8:9::9", "2001:db8:1:1::9"]
    #: The upper half of the management network.
    ours = ["192.168.1.200", "2001:db8:1:0:8000::9"]
    for source in strangers + ours:
        other.sh(f"ip address add {source} dev lo" + (" nodad" if ":" in source else ""))
        node.sh(f"ip route add {source} via {'2001:db8:1::2' if ':' in source else '192.168.1.2'}")

    def claiming(sources: list[str]) -> dict:
        return {source: (lambda source=source: other.probe("2001:db8:1::1" if ":" in source else MANAGEMENT, 8002,
                                                           source=source)) for source in sources}

    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 claiming(strangers), from_management_by_tcp(lab) | claiming(ours))


def test_a_node_forwards_nothing_in_either_direction(start, packet_filter):
    """Not a single packet: to be reached is too much even where the answer is lost."""
    lab = start(SCENARIO)
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    accept_before(node)
    node.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    for host in (node, other):
        host.sh("for i in all xenbr0 eth1; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
    other.listen(8002)
    outsider.listen(80)
    outsider.sh("ip route add 192.168.1.2 via 203.0.113.11; ip route add 198.18.0.0/24 via 203.0.113.200; "
                "ip neigh add 203.0.113.200 lladdr 02:00:00:00:00:01 dev eth0")
    other.sh("ip route add 203.0.113.66/32 via 192.168.1.1; ip route add 198.18.0.0/24 via 192.168.1.200; "
             "ip neigh add 192.168.1.200 lladdr 02:00:00:00:00:01 dev eth1")
    outsider.sh("ip route add 2001:db8:1::2 via 2001:db8:2::11; ip route add 2001:db8:198::/64 via 2001:db8:2::200; "
                "ip neigh add 2001:db8:2::200 lladdr 02:00:00:00:00:01 dev eth0")
    other.sh("ip route add 2001:db8:2::66 via 2001:db8:1::1; ip route add 2001:db8:198::/64 via 2001:db8:1::200; "
             "ip neigh add 2001:db8:1::200 lladdr 02:00:00:00:00:01 dev eth1")
    sources = itertools.count(1)

    def arrives(attacker: Host, victim: Host, target: str, port: int) -> str:
        """``open`` where a SYN gets there; the answer, to an address that nobody has, is lost in any case."""
        source = ("2001:db8:198::{:x}" if ":" in target else "198.18.0.{}").format(next(sources))
        attacker.sh(f"ip address add {source} dev lo" + (" nodad" if ":" in source else ""))
        assert attacker.probe(target, port, source=source) == "filtered"
        return "open" if victim.half_open(port, source) else "filtered"

    attacks = {"in": lambda: arrives(outsider, other, "192.168.1.2", 8002),
               "out": lambda: arrives(other, outsider, "203.0.113.66", 80),
               "in over IPv6": lambda: arrives(outsider, other, "2001:db8:1::2", 8002),
               "out over IPv6": lambda: arrives(other, outsider, "2001:db8:2::66", 80)}
    # By way of the node, and yet not its management network's business.
    lab["guest-a"].listen(80)
    outsider.sh("for i in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 > $i; done; "
                "ip route add 203.0.113.101 via 203.0.113.11; ip route add 2001:db8:2::101 via 2001:db8:2::11")
    wanted = {address: (lambda address=address: outsider.probe(address, 80))
              for address in ("203.0.113.101", "2001:db8:2::101")}
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 attacks, wanted)


def test_a_node_that_forwards_is_no_way_in(start, packet_filter):
    """Where a node routes and masquerades for its guests, they would reach the other nodes as that node."""
    lab = start(SCENARIO)
    node, other = lab["node-a"], lab["node-b"]
    other.listen(8002)
    node.run("nft", "-f", "-", input=MASQUERADE)
    node.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    route_to_management(lab)
    attacks = probes(lab, ("outsider", "guest-a"), ("192.168.1.2", "2001:db8:1::2"))
    apply(other, packet_filter, FIREWALL)  # which takes them for node-a
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 attacks, {"node-a itself": lambda: node.probe("192.168.1.2", 8002)})


def test_a_forged_management_source_from_outside(start, packet_filter):
    """The rule asks for the network card as well as the source: a forged one meets the card."""
    lab = start(SCENARIO)
    node, outsider = lab["node-a"], lab["outsider"]
    node.listen(8002)
    node.sh("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/xenbr0/rp_filter")
    # The attacker answers for an address of the management network, and the node's way back leads there.
    outsider.sh("ip address add 192.168.1.77/32 dev lo; ip route add 192.168.1.1/32 via 203.0.113.11")
    node.sh("ip route add 192.168.1.77/32 via 203.0.113.66")
    outsider.sh("ip address add 2001:db8:1::77/128 dev lo nodad; ip route add 2001:db8:1::1 via 2001:db8:2::11")
    node.sh("ip route add 2001:db8:1::77 via 2001:db8:2::66")
    forged = {"forged": lambda: outsider.probe(MANAGEMENT, 8002, source="192.168.1.77"),
              "forged, IPv6": lambda: outsider.probe("2001:db8:1::1", 8002, source="2001:db8:1::77")}
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 forged, {"node-b": lambda: lab["node-b"].probe(MANAGEMENT, 8002)})
