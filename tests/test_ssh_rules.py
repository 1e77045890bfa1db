# SPDX-License-Identifier: MIT
"""ssh, and so xl's live migration, by card and source: in each scenario from the nodes and the administrators only."""
from __future__ import annotations

import itertools

import pytest

from tests.lab.cycle import Probes, assert_cycle, fail, probes, succeed
from tests.lab.filters import accept_before, apply, apply_nft, iptables_of, undo, undo_nft
from tests.lab.namespaces import Host, Lab
from tests.lab.wait import until

SSH = 22
#: What no rule here is about.
ANOTHER = 5900
#: The files for iptables have the same lines in each scenario: what both back ends make of them is seen in one.
ONE_BACK_END = pytest.mark.parametrize("packet_filter", ["nftables", "iptables-nft"])
ISOLATED, SUBNET, UNTRUSTED = "isolated-management-network", "subnet-behind-a-firewall", "untrusted-subnet"
BORDER, GUESTS = f"{SUBNET}/ssh-border", f"{SUBNET}/ssh-guests"
#: Right beside the administrators' network, and its upper half.
BESIDE_ADMIN, LAST_ADMIN = ("198.51.101.10", "2001:db8:a:1::10"), ("198.51.100.200", "2001:db8:a:0:8000::10")
#: The same for 192.168.1.0/24 and its IPv6 network, which are the nodes' own.
BESIDE, LAST = ("192.168.0.9", "2001:db8:1:1::9"), ("192.168.1.200", "2001:db8:1:0:8000::9")
#: A node's further addresses: not in its network, and in the upper half of it.
FURTHER, FURTHER_LAST = ("192.168.0.5", "2001:db8:1:1::5"), ("192.168.1.210", "2001:db8:1:0:8000::5")


def has(host: Host, *addresses: str) -> None:
    """Give a host more addresses; it answers, and may claim them."""
    host.sh("\n".join(f"ip address add {address} dev lo" + (" nodad" if ":" in address else "")
                      for address in addresses))


def route(host: Host, addresses: tuple[str, str], via: tuple[str, str]) -> None:
    """The way to addresses of both families."""
    host.sh("\n".join(f"ip route add {address} via {hop}" for address, hop in zip(addresses, via)))


def claiming(host: Host, sources: tuple[str, ...], targets: tuple[str, str], *ports: int) -> Probes:
    """Probes by a host that claims addresses, each of the target of its family, at these ports or at 22."""
    return {f"{host.name} as {source} {port}":
            (lambda source=source, port=port: host.probe(targets[":" in source], port, source=source))
            for source in sources for port in ports or (SSH,)}


def administrators(lab: Lab, targets: tuple[str, str]) -> tuple[Probes, Probes]:
    """The attacks from beside the administrators' network, and what is wanted from all of it."""
    admin = lab["admin"]
    for addresses in (BESIDE_ADMIN, LAST_ADMIN):
        has(admin, *addresses)
        route(lab["router"], addresses, (admin.address(4), admin.address(6)))
    return (claiming(admin, BESIDE_ADMIN, targets),
            probes(lab, ["admin"], targets, SSH) | claiming(admin, LAST_ADMIN, targets))


def itself(node: Host) -> Probes:
    """A node's ssh to itself."""
    return {f"{node.name} -> {address}": (lambda address=address: node.probe(address, SSH))
            for address in ("127.0.0.1", "::1", node.address(4))}


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


def assert_refused_and_open(lab: Lab, host: Host, packet_filter: str, rules: str, targets: tuple[str, str]) -> None:
    """A stranger is answered as where nothing listens; but what was open before stays open, a stranger's, too."""
    for name in ("outsider", "admin"):
        for target in targets:
            assert lab[name].ask(do="hold", address=target, port=SSH)["alive"]
    apply(host, packet_filter, rules)
    for target in targets:
        assert lab["outsider"].ask(do="refusal", address=target, port=SSH)["refusal"] == "reset"
    assert lab["outsider"].ask(do="alive")["alive"] and lab["admin"].ask(do="alive")["alive"]


def assert_past_domain_0s_firewall(lab: Lab, packet_filter: str, attacks: Probes, wanted: Probes) -> None:
    """What the rules on node-a admit, Domain-0's firewall lets in, too, though it knows other administrators.

    So it is with a login from before, which is no connection that the firewall has seen begin.
    """
    node = lab["node-a"]
    node.sh("for command in iptables ip6tables; do $command -D INPUT -j ACCEPT; done")  # of accept_before
    node.sh("sed -i 's,198.51.100.0/24,192.0.2.0/24,; s,2001:db8:a::/64,2001:db8:b::/64,' domain-0/firewall.*")
    apply(node, packet_filter, "domain-0/firewall")
    assert lab["admin"].ask(do="alive")["alive"]
    succeed(wanted, "with Domain-0's firewall: ")
    fail(attacks, "with Domain-0's firewall: ")


def test_isolated_management_network(make_lab, packet_filter):
    """By the node's own address, and by its management address, to which the outsider and the guest have a route."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter))
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    outside, management = ("203.0.113.11", "2001:db8:2::11"), ("192.168.1.1", "2001:db8:1::1")
    rules = f"{ISOLATED}/ssh"
    for port in (SSH, ANOTHER, 8002):
        node.listen(port)
    outsider.listen(SSH)
    accept_before(node)
    for name in ("outsider", "guest-a"):
        route(lab[name], management, outside)
    # The outsider answers for addresses of the management network, and the node's way back leads there.
    node.sh("for i in all xenbr0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
    forged = ("192.168.1.77", "2001:db8:1::77")
    has(outsider, *forged)
    route(node, forged, (outsider.address(4), outsider.address(6)))
    # By the management card, too, a source of neither network is none; an administrator may come by any card.
    by_the_card = ("198.51.100.201", "2001:db8:a:0:8000::c9")
    for addresses in (BESIDE, LAST, by_the_card):
        has(other, *addresses)
        route(node, addresses, ("192.168.1.2", "2001:db8:1::2"))
    beside, admitted = administrators(lab, outside)

    attacks = (probes(lab, ("outsider", "guest-a"), outside + management, SSH) | claiming(outsider, forged, management)
               | claiming(other, BESIDE, management) | beside)
    wanted = (probes(lab, ["node-b"], management, SSH) | claiming(other, LAST + by_the_card, management) | admitted
              | itself(node) | probes(lab, ["node-a"], ("203.0.113.66", "2001:db8:2::66"), SSH))
    rest = probes(lab, ["outsider"], outside, ANOTHER, 8002)  # which is open but for Domain-0's firewall
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    assert_refused_and_open(lab, node, packet_filter, rules, outside)
    assert_past_domain_0s_firewall(lab, packet_filter, attacks | rest, wanted)


NODE_A, NODE_B = ("192.168.1.1", "2001:db8:1::1"), ("192.168.1.2", "2001:db8:1::2")
FAR = ("192.77.8.9", "2001:db8:e::9")


def cluster(lab: Lab) -> Lab:
    """Something on port 22 everywhere, and more addresses of node-a, to which its neighbours know the way."""
    for name in ("node-a", "node-b", "guest-a", "border", "distant", "admin"):
        lab[name].listen(SSH)
    lab["node-a"].listen(ANOTHER)
    for addresses in (FURTHER, FURTHER_LAST):
        has(lab["node-a"], *addresses)
        for name in ("node-b", "guest-a"):
            route(lab[name], addresses, NODE_A)
    return lab


@ONE_BACK_END
def test_subnet_behind_a_firewall(make_lab, packet_filter):
    """The nodes' own rules, by address; of the guests, they keep out those that are not on the subnet."""
    lab = cluster(make_lab(SUBNET, iptables_of(packet_filter)))
    node, other = lab["node-a"], lab["node-b"]
    rules = f"{SUBNET}/ssh"
    accept_before(node)
    for addresses in (BESIDE, LAST):
        has(other, *addresses)
        route(node, addresses, NODE_B)
    claimed = ("192.168.1.99", "2001:db8:1::99")
    a_card_of_its_own(lab, claimed)
    # An administrator's address, claimed by a neighbour to get to an address that the rules of the bridge do not know.
    administrators_own = ("198.51.100.199", "2001:db8:a::c7")
    has(other, *administrators_own)
    route(node, administrators_own, NODE_B)
    beside, admitted = administrators(lab, NODE_A)

    attacks = (probes(lab, ("outsider", "distant", "guest-a"), NODE_A, SSH) | claiming(lab["guest-a"], claimed, NODE_A)
               | claiming(other, administrators_own, FURTHER)
               | claiming(other, BESIDE, NODE_A) | probes(lab, ["node-b"], FURTHER, SSH) | beside)
    wanted = (probes(lab, ["node-b"], NODE_A + FURTHER_LAST, SSH) | claiming(other, LAST, NODE_A) | admitted
              | itself(node) | probes(lab, ["node-a"], NODE_B + FAR, SSH))
    rest = probes(lab, ["outsider"], NODE_A, ANOTHER)
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    assert_refused_and_open(lab, node, packet_filter, rules, NODE_A)
    assert_past_domain_0s_firewall(lab, packet_filter, attacks | rest, wanted)


def test_subnet_behind_a_firewall_guests(make_lab):
    """By the port of the bridge: whatever a guest claims, and whatever tags it puts before it."""
    lab = cluster(make_lab(SUBNET))
    node, other, guest, distant = lab["node-a"], lab["node-b"], lab["guest-a"], lab["distant"]
    numbers = itertools.count(70)
    mac = node.mac("xenbr0")
    node.listen(8002)
    # Beside the subnet, and on the way out.
    has(distant, *BESIDE)
    route(lab["router"], BESIDE, FAR)

    def syn(tags: list[int], sender: Host = guest, interface: str = "eth0", source: str = "192.168.1."):
        def probe() -> str:
            claimed = f"{source}{next(numbers)}"
            node.sh(f"ip neigh replace {claimed} lladdr 02:00:00:00:00:01 dev xenbr0; "
                    f"ip route replace {claimed} dev xenbr0")  # nobody else is asked
            frame = dict(do="syn_in_frame", interface=interface, mac=mac, source=claimed, address=NODE_A[0])
            sender.ask(**frame, port=SSH, tags=tags)
            # A frame of ours that passes marks the end: what was sent before it has arrived before it.
            sender.ask(**frame, port=8002, tags=[])
            until(lambda: node.half_open(8002, claimed), "the mark has arrived")
            return "open" if node.half_open(SSH, claimed) else "filtered"
        return probe

    by_the_wire = f"{node.link_local('xenbr0')}%eth0"
    attacks = probes(lab, ["guest-a"], (*NODE_A, *NODE_B, *FURTHER_LAST, by_the_wire), SSH) | {
        str(tags): syn(tags) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100])} | {
        "as an administrator": syn([], source="198.51.100.")}
    wanted = (probes(lab, ["node-b", "admin"], NODE_A, SSH) | probes(lab, ["node-a"], NODE_B, SSH)
              | probes(lab, ["guest-a"], FAR + BESIDE, SSH) | probes(lab, ["guest-a"], NODE_A, ANOTHER)
              | probes(lab, ["node-a", "node-b", "admin"], (guest.address(4), guest.address(6)), SSH)
              | {"tagged, from another node": syn([0x8100], other, "xenbr0")})
    assert_cycle([node], lambda: apply_nft(node, GUESTS), lambda: undo_nft(node, GUESTS), attacks, wanted)

    assert guest.ask(do="hold", address=NODE_A[0], port=SSH)["alive"]
    apply_nft(node, GUESTS)
    assert guest.ask(do="alive")["alive"]
    # An address of the node that this table does not know: there the rules by address have to refuse the guest.
    unknown = probes(lab, ["guest-a"], FURTHER, SSH)
    succeed(unknown)
    apply_nft(node, f"{SUBNET}/ssh")
    fail(unknown)
    succeed(wanted)


@ONE_BACK_END
def test_subnet_behind_a_firewall_border(make_lab, packet_filter):
    """From outside, the administrators reach port 22 of nodes and guests, and nobody else."""
    lab = cluster(make_lab(SUBNET, iptables_of(packet_filter)))
    border, other, outsider, guest = lab["border"], lab["node-b"], lab["outsider"], lab["guest-a"]
    accept_before(border)
    # By way of the border and back into the same network: a node to an address of another, outside to outside.
    for host in (other, outsider):
        host.sh("for i in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 > $i; done")
    back_in = ("192.168.1.201", "2001:db8:1::c9")
    has(lab["node-a"], *back_in)
    route(border, back_in, NODE_A)
    route(other, back_in, ("192.168.1.254", "2001:db8:1::fe"))
    route(outsider, ("198.51.100.10", "2001:db8:a::10"), ("203.0.113.254", "2001:db8:2::fe"))
    beside, admitted = administrators(lab, NODE_A)

    inside = NODE_A + NODE_B + (guest.address(4), guest.address(6))
    attacks = probes(lab, ("outsider", "distant"), inside, SSH) | beside
    wanted = (probes(lab, ["admin"], inside, SSH) | admitted | probes(lab, ["node-a", "guest-a"], FAR, SSH)
              | probes(lab, ["node-b"], NODE_A + back_in, SSH)
              | probes(lab, ["outsider"], ("198.51.100.10", "2001:db8:a::10"), SSH)
              | probes(lab, ["outsider", "node-b"], ("203.0.113.254", "2001:db8:2::fe"), SSH)
              | probes(lab, ["outsider"], NODE_A, ANOTHER))
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 attacks, wanted)
    assert_refused_and_open(lab, border, packet_filter, BORDER, NODE_A)
    # Beside the border's other rules.
    apply(border, packet_filter, f"{SUBNET}/border")
    succeed(wanted)
    fail(attacks)


@ONE_BACK_END
def test_untrusted_subnet(make_lab, packet_filter):
    """The same rules on both nodes. Who takes a node's address for their own gets as far as sshd."""
    lab = make_lab(UNTRUSTED, iptables_of(packet_filter))
    node, other, outsider = nodes = lab["node-a"], lab["node-b"], lab["outsider"]
    node_a, node_b = ("203.0.113.11", "2001:db8:2::11"), ("203.0.113.12", "2001:db8:2::12")
    rules = f"{UNTRUSTED}/ssh"
    for host in nodes:
        host.listen(SSH)
    node.listen(ANOTHER)
    accept_before(node)
    # Right beside the nodes' addresses.
    neighbours = ("203.0.113.10", "203.0.113.13", "2001:db8:2::10", "2001:db8:2::13")
    outsider.sh("\n".join(f"ip address add {address}/{64 if ':' in address else 24} dev eth0"
                          + (" nodad" if ":" in address else "") for address in neighbours))
    beside, admitted = administrators(lab, node_a)

    def on_both(act) -> None:
        for host in (node, other):
            act(host, packet_filter, rules)

    attacks = (probes(lab, ("outsider", "guest-a"), node_a + node_b, SSH) | claiming(outsider, neighbours, node_a)
               | beside)
    wanted = (probes(lab, ["node-b"], node_a, SSH) | probes(lab, ["node-a"], node_b, SSH) | admitted | itself(node)
              | probes(lab, ["node-a"], (outsider.address(4), outsider.address(6)), SSH))
    rest = probes(lab, ["outsider"], node_a, ANOTHER)
    assert_cycle([node, other], lambda: on_both(apply), lambda: on_both(undo), attacks, wanted | rest)
    assert_refused_and_open(lab, node, packet_filter, rules, node_a)
    apply(other, packet_filter, rules)
    assert_past_domain_0s_firewall(lab, packet_filter, attacks | rest, wanted)
    undo(node, packet_filter, "domain-0/firewall")

    # On the nodes' own network nobody can tell whose an address is.
    node.sh(f"ip neigh replace 203.0.113.12 lladdr {outsider.mac('eth0')} dev xenbr0")
    has(outsider, "203.0.113.12")
    succeed(claiming(outsider, ("203.0.113.12",), node_a))
    # By a card where no node is, it counts for nothing.
    undo(node, packet_filter, rules)
    a_card_of_its_own(lab, node_b)
    by_another_card = claiming(lab["guest-a"], node_b, node_a)
    succeed(by_another_card)
    apply(node, packet_filter, rules)
    fail(by_another_card)
