# SPDX-License-Identifier: MIT
"""What the tests of rules by address share: hosts that claim addresses, the ways to these, and what has to hold."""
from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.lab.cycle import Probes, fail, succeed
from tests.lab.filters import accept_before, apply
from tests.lab.namespaces import Host, Lab
from tests.lab.wait import until

SSH = 22
#: The files for iptables have the same lines in each scenario: what both back ends make of them is seen in one.
ONE_BACK_END = pytest.mark.parametrize("packet_filter", ["nftables", "iptables-nft"])
ISOLATED, SUBNET, UNTRUSTED = "isolated-management-network", "subnet-behind-a-firewall", "untrusted-subnet"
#: The nodes' addresses on the network where guests are relocated, of the first two scenarios.
NODE_A, NODE_B = ("192.168.1.1", "2001:db8:1::1"), ("192.168.1.2", "2001:db8:1::2")
#: Somebody beyond the border.
FAR = ("192.77.8.9", "2001:db8:e::9")
#: Right beside 192.168.1.0/24 and its IPv6 network, which are the nodes' own, and in the upper half of these.
BESIDE, LAST = ("192.168.0.9", "2001:db8:1:1::9"), ("192.168.1.200", "2001:db8:1:0:8000::9")
#: A node's further addresses: not in its network, and in the upper half of it.
FURTHER, FURTHER_LAST = ("192.168.0.5", "2001:db8:1:1::5"), ("192.168.1.210", "2001:db8:1:0:8000::5")


def has(host: Host, *addresses: str, device: str = "lo") -> None:
    """Give a host more addresses, each with its length or alone; it answers, and may claim them."""
    host.sh("\n".join(f"ip address add {address} dev {device}" + (" nodad" if ":" in address else "")
                      for address in addresses))


def route(host: Host, addresses: tuple[str, str], via: tuple[str, str]) -> None:
    """The way to addresses of both families."""
    host.sh("\n".join(f"ip route add {address} via {hop}" for address, hop in zip(addresses, via)))


def claiming(host: Host, sources: tuple[str, ...], targets: tuple[str, str], *ports: int) -> Probes:
    """Probes by a host that claims addresses, each of the target of its family, at these ports or at 22."""
    return {f"{host.name} as {source} {port}":
            (lambda source=source, port=port: host.probe(targets[":" in source], port, source=source))
            for source in sources for port in ports or (SSH,)}


def claim_beside_and_last(lab: Lab, *more: tuple[str, str]) -> None:
    """node-b claims addresses beside the nodes' network and in its upper half, and these; node-a knows the way."""
    for addresses in (BESIDE, LAST, *more):
        has(lab["node-b"], *addresses)
        route(lab["node-a"], addresses, NODE_B)


def claim_in_the_cluster(lab: Lab) -> tuple[str, str]:
    """Who claims addresses in a cluster: node-b, and guest-a by a card of its own. Returns what the guest claims."""
    accept_before(lab["node-a"])
    claim_beside_and_last(lab)
    claimed = ("192.168.1.99", "2001:db8:1::99")
    a_card_of_its_own(lab, claimed)
    return claimed


def claim_management(lab: Lab, outside: tuple[str, str]) -> tuple[str, str]:
    """The outsider claims addresses of the management network, and node-a's way back leads there; it and the guest
    know the way to node-a's management address. Returns what is claimed."""
    node, outsider = lab["node-a"], lab["outsider"]
    for name in ("outsider", "guest-a"):
        route(lab[name], NODE_A, outside)
    node.sh("for i in all xenbr0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
    forged = ("192.168.1.77", "2001:db8:1::77")
    has(outsider, *forged)
    route(node, forged, (outsider.address(4), outsider.address(6)))
    return forged


def claim_beside_the_nodes(outsider: Host) -> tuple[str, ...]:
    """The outsider claims addresses right beside those of the nodes on the untrusted subnet; returns them."""
    neighbours = ("203.0.113.10", "203.0.113.13", "2001:db8:2::10", "2001:db8:2::13")
    has(outsider, *(f"{address}/{64 if ':' in address else 24}" for address in neighbours), device="eth0")
    return neighbours


def further_addresses(lab: Lab) -> None:
    """More addresses of node-a, to which its neighbours know the way."""
    for addresses in (FURTHER, FURTHER_LAST):
        has(lab["node-a"], *addresses)
        for name in ("node-b", "guest-a"):
            route(lab[name], addresses, NODE_A)


def ways_by_the_border(lab: Lab) -> tuple[str, str]:
    """Ways through the border and back into the same network: node-b's to addresses of node-a, which are returned, and
    the outsider's to the administrator."""
    border, other, outsider = lab["border"], lab["node-b"], lab["outsider"]
    for host in (other, outsider):
        host.sh("for i in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 > $i; done")
    back_in = ("192.168.1.201", "2001:db8:1::c9")
    has(lab["node-a"], *back_in)
    route(border, back_in, NODE_A)
    route(other, back_in, ("192.168.1.254", "2001:db8:1::fe"))
    route(outsider, ("198.51.100.10", "2001:db8:a::10"), ("203.0.113.254", "2001:db8:2::fe"))
    return back_in


def a_card_of_its_own(lab: Lab, addresses: tuple[str, str]) -> None:
    """guest-a leaves the bridge for a card of node-a that nobody else is on, and claims addresses there."""
    node, guest = lab["node-a"], lab["guest-a"]
    node.sh("for i in all vif1.0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done; "
            "ip link set vif1.0 nomaster; ip address add 10.7.7.1/24 dev vif1.0; "
            "ip address add 2001:db8:7::1/64 dev vif1.0 nodad")
    guest.sh("ip address flush dev eth0 scope global; ip address add 10.7.7.2/24 dev eth0; "
             "ip route add default via 10.7.7.1; ip address add 2001:db8:7::2/64 dev eth0 nodad; "
             "ip route replace default via 2001:db8:7::1")
    has(guest, *addresses)
    route(node, addresses, ("10.7.7.2", "2001:db8:7::2"))
    until(lambda: guest.probe("10.7.7.1", SSH) == guest.probe("2001:db8:7::1", SSH) == "open", "the card is in use")


def syns_in_frames(node: Host, passes: int) -> Callable[..., Callable[[], str]]:
    """Makes probes of node-a: a SYN in a frame with VLAN tags, each by an address of its own that ``source`` begins.

    Whatever else is refused, a SYN to the port ``passes`` gets there. Nobody answers: the node's half of the connection
    tells what got in.
    """
    mac = node.mac("xenbr0")
    numbers = itertools.count(120)  # beyond the addresses of hosts

    def syn(sender: Host, tags: list[int], port: int, interface: str = "eth0", source: str = "192.168.1."):
        def probe() -> str:
            claimed = f"{source}{next(numbers)}"
            node.sh(f"ip neigh replace {claimed} lladdr 02:00:00:00:00:01 dev xenbr0; "
                    f"ip route replace {claimed} dev xenbr0")  # nobody else is asked
            frame = dict(do="syn_in_frame", interface=interface, mac=mac, source=claimed, address=NODE_A[0])
            sender.ask(**frame, port=port, tags=tags)
            # A frame of ours that passes marks the end: what was sent before it has arrived before it.
            sender.ask(**frame, port=passes, tags=[])
            until(lambda: node.half_open(passes, claimed), "the mark has arrived")
            return "open" if node.half_open(port, claimed) else "filtered"
        return probe
    return syn


def assert_refused_and_open(lab: Lab, names: tuple[str, ...], host: Host, packet_filter: str, rules: str,
                            targets: tuple[str, str], *ports: int) -> None:
    """A stranger, the first of these, is answered as where nothing listens; but what any of them had open before at the
    first of the ports stays open."""
    for name in names:
        for target in targets:
            assert lab[name].ask(do="hold", address=target, port=ports[0])["alive"]
    apply(host, packet_filter, rules)
    for target in targets:
        for port in ports:
            assert lab[names[0]].ask(do="refusal", address=target, port=port)["refusal"] == "reset"
    for name in names:
        assert lab[name].ask(do="alive")["alive"]


def assert_past_domain_0s_firewall(node: Host, packet_filter: str, attacks: Probes, wanted: Probes) -> None:
    """What the rules on a node admit, Domain-0's firewall lets in, too, and it refuses the rest."""
    node.sh("for command in iptables ip6tables; do $command -D INPUT -j ACCEPT; done")  # of accept_before
    apply(node, packet_filter, "domain-0/firewall")
    succeed(wanted, "with Domain-0's firewall: ")
    fail(attacks, "with Domain-0's firewall: ")
