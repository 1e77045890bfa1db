# SPDX-License-Identifier: MIT
"""libvirt's control over TLS and its live migration's data: in each scenario from the nodes only, or not at all."""
from __future__ import annotations

import itertools

from tests.lab.cycle import Probes, assert_cycle, fail, probes, succeed
from tests.lab.filters import accept_before, apply, apply_nft, iptables_of, undo, undo_nft
from tests.lab.namespaces import Host, Lab
from tests.lab.wait import until
from tests.test_ssh_rules import (
    BESIDE,
    FAR,
    FURTHER,
    FURTHER_LAST,
    ISOLATED,
    LAST,
    NODE_A,
    NODE_B,
    ONE_BACK_END,
    SUBNET,
    UNTRUSTED,
    a_card_of_its_own,
    claiming,
    has,
    route,
)

CONTROL, DATA, LAST_DATA = 16514, 49152, 49216
#: What the rules are about: the ends of the range stand for it.
PORTS = (CONTROL, DATA, LAST_DATA)
#: Right beside, and so of no concern.
OTHERS = (16513, 16515, 49151, 49217)
#: What serves, and a port of the range that a client may have: there it is answered.
SERVICE, BETWEEN = 443, 49180


def listening(lab: Lab, *names: str) -> Lab:
    for name in names:
        for port in (22, *PORTS, *OTHERS, SERVICE):
            lab[name].listen(port)
    return lab


def from_the_range(host: Host, targets: tuple[str, str]) -> Probes:
    """Connections that begin at a port of the range: the answers to it come from anybody."""
    return {f"{host.name} from {BETWEEN} -> {target}":
            (lambda target=target: host.probe(target, SERVICE, source_port=BETWEEN)) for target in targets}


def refused_like_a_closed_port(lab: Lab, host: Host, packet_filter: str, rules: str, targets: tuple[str, str]) -> None:
    """A reset at once; and what was open before stays so."""
    for target in targets:
        assert lab["outsider"].ask(do="hold", address=target, port=DATA)["alive"]
    apply(host, packet_filter, rules)
    for target in targets:
        for port in PORTS:
            assert lab["outsider"].ask(do="refusal", address=target, port=port)["refusal"] == "reset"
    assert lab["outsider"].ask(do="alive")["alive"]


def past_domain_0s_firewall(lab: Lab, packet_filter: str, attacks: Probes, wanted: Probes) -> None:
    """What the rules on node-a admit, Domain-0's firewall lets in, too, and it refuses the rest."""
    node = lab["node-a"]
    node.sh("for command in iptables ip6tables; do $command -D INPUT -j ACCEPT; done")  # of accept_before
    apply(node, packet_filter, "domain-0/firewall")
    succeed(wanted, "with Domain-0's firewall: ")
    fail(attacks, "with Domain-0's firewall: ")


def test_isolated_management_network(make_lab, packet_filter):
    """By the node's own address, and by its management address, to which the outsider and the guest have a route."""
    lab = listening(make_lab(ISOLATED, iptables_of(packet_filter)), "node-a", "outsider")
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    outside, management = ("203.0.113.11", "2001:db8:2::11"), ("192.168.1.1", "2001:db8:1::1")
    rules = f"{ISOLATED}/libvirt"
    accept_before(node)
    for name in ("outsider", "guest-a"):
        route(lab[name], management, outside)
    # The outsider answers for addresses of the management network, and the node's way back leads there.
    node.sh("for i in all xenbr0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
    forged = ("192.168.1.77", "2001:db8:1::77")
    has(outsider, *forged)
    route(node, forged, (outsider.address(4), outsider.address(6)))
    for addresses in (BESIDE, LAST):
        has(other, *addresses)
        route(node, addresses, ("192.168.1.2", "2001:db8:1::2"))

    attacks = (probes(lab, ("outsider", "guest-a"), outside + management, *PORTS)
               | claiming(outsider, forged, management, *PORTS) | claiming(other, BESIDE, management, *PORTS))
    wanted = (probes(lab, ["node-b"], management, *PORTS) | claiming(other, LAST, management, *PORTS)
              | probes(lab, ["node-a"], ("127.0.0.1", "::1"), *PORTS)
              | from_the_range(node, (outsider.address(4), outsider.address(6)))
              | probes(lab, ["node-a"], (outsider.address(4), outsider.address(6)), *PORTS))
    rest = probes(lab, ["outsider"], outside, *OTHERS)  # which is open but for Domain-0's firewall
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    assert other.ask(do="hold", address=management[0], port=DATA)["alive"]
    assert other.ask(do="hold", address=management[1], port=DATA)["alive"]
    refused_like_a_closed_port(lab, node, packet_filter, rules, outside)
    past_domain_0s_firewall(lab, packet_filter, attacks | rest, wanted)
    # Nor is a migration cut that has begun before Domain-0's firewall, which has not seen it begin.
    assert other.ask(do="alive")["alive"]


def cluster(lab: Lab) -> Lab:
    """More addresses of node-a, to which its neighbours know the way."""
    listening(lab, "node-a", "node-b", "guest-a", "distant")
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
    rules = f"{SUBNET}/libvirt"
    accept_before(node)
    for addresses in (BESIDE, LAST):
        has(other, *addresses)
        route(node, addresses, NODE_B)
    claimed = ("192.168.1.99", "2001:db8:1::99")
    a_card_of_its_own(lab, claimed)

    attacks = (probes(lab, ("outsider", "distant", "guest-a"), NODE_A, *PORTS)
               | claiming(lab["guest-a"], claimed, NODE_A, *PORTS)
               | claiming(other, BESIDE, NODE_A, *PORTS) | probes(lab, ["node-b"], FURTHER, *PORTS))
    wanted = (probes(lab, ["node-b"], NODE_A + FURTHER_LAST, *PORTS) | claiming(other, LAST, NODE_A, *PORTS)
              | probes(lab, ["node-a"], NODE_B + FAR + ("127.0.0.1", "::1"), *PORTS) | from_the_range(node, FAR))
    rest = probes(lab, ["outsider"], NODE_A, *OTHERS)
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    for target in NODE_A:
        assert other.ask(do="hold", address=target, port=DATA)["alive"]
    refused_like_a_closed_port(lab, node, packet_filter, rules, NODE_A)
    past_domain_0s_firewall(lab, packet_filter, attacks | rest, wanted)
    assert other.ask(do="alive")["alive"]


def test_subnet_behind_a_firewall_guests(make_lab):
    """By the port of the bridge: whatever a guest claims, and whatever tags it puts before it."""
    lab = cluster(make_lab(SUBNET))
    rules = f"{SUBNET}/libvirt-guests"
    node, guest = lab["node-a"], lab["guest-a"]
    numbers = itertools.count(120)
    mac = node.mac("xenbr0")

    def syn(tags: list[int], port: int):
        def probe() -> str:
            claimed = f"192.168.1.{next(numbers)}"
            node.sh(f"ip neigh replace {claimed} lladdr 02:00:00:00:00:01 dev xenbr0")  # nobody else is asked
            frame = dict(do="syn_in_frame", interface="eth0", mac=mac, source=claimed, address=NODE_A[0])
            guest.ask(**frame, port=port, tags=tags)
            # A frame of ours that passes marks the end: what was sent before it has arrived before it.
            guest.ask(**frame, port=SERVICE, tags=[])
            until(lambda: node.half_open(SERVICE, claimed), "the mark has arrived")
            return "open" if node.half_open(port, claimed) else "filtered"
        return probe

    # The node's link-local address, and another in the last part of those.
    by_the_wire = (f"{node.link_local('xenbr0')}%eth0", "febf::5%eth0")
    node.run("ip", "address", "add", "febf::5/64", "dev", "xenbr0", "nodad")
    guest.run("ip", "route", "add", "febf::/64", "dev", "eth0")
    attacks = probes(lab, ["guest-a"], (*NODE_A, *NODE_B, *FURTHER_LAST, *by_the_wire), *PORTS) | {
        f"{tags} {port}": syn(tags, port) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100])
        for port in (CONTROL, DATA)}
    own = (guest.address(4), guest.address(6))
    wanted = (probes(lab, ["node-b"], NODE_A, *PORTS) | probes(lab, ["node-a"], NODE_B, *PORTS)
              | probes(lab, ["guest-a"], FAR, *PORTS) | probes(lab, ["guest-a"], NODE_A, *OTHERS)
              | probes(lab, ["node-a"], own, *PORTS) | from_the_range(node, own))
    assert_cycle([node], lambda: apply_nft(node, rules), lambda: undo_nft(node, rules), attacks, wanted)

    # An address of the node that this table does not know: there the rules by address have to refuse the guest.
    apply_nft(node, rules)
    unknown = probes(lab, ["guest-a"], FURTHER, *PORTS)
    succeed(unknown)
    apply_nft(node, f"{SUBNET}/libvirt")
    fail(unknown)
    succeed(wanted)


@ONE_BACK_END
def test_subnet_behind_a_firewall_border(make_lab, packet_filter):
    """From outside nobody begins a connection; to the outside, and within, whoever will."""
    lab = listening(cluster(make_lab(SUBNET, iptables_of(packet_filter))), "border", "outsider", "admin")
    border, other, outsider, guest = lab["border"], lab["node-b"], lab["outsider"], lab["guest-a"]
    rules = f"{SUBNET}/libvirt-border"
    accept_before(border)
    # By way of the border and back into the same network: a node to an address of another, outside to outside.
    for host in (other, outsider):
        host.sh("for i in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 > $i; done")
    back_in, administrator = ("192.168.1.201", "2001:db8:1::c9"), ("198.51.100.10", "2001:db8:a::10")
    has(lab["node-a"], *back_in)
    route(border, back_in, NODE_A)
    route(other, back_in, ("192.168.1.254", "2001:db8:1::fe"))
    route(outsider, administrator, ("203.0.113.254", "2001:db8:2::fe"))
    inside = NODE_A + NODE_B + (guest.address(4), guest.address(6))
    attacks = probes(lab, ("outsider", "distant", "admin"), inside, *PORTS)
    wanted = (probes(lab, ["node-a", "guest-a"], FAR, *PORTS) | probes(lab, ["node-b"], NODE_A + back_in, *PORTS)
              | probes(lab, ["outsider"], administrator, *PORTS)
              | probes(lab, ["outsider", "node-b"], ("203.0.113.254", "2001:db8:2::fe"), *PORTS)
              | from_the_range(lab["node-a"], FAR) | probes(lab, ["outsider"], NODE_A, *OTHERS))
    assert_cycle([border], lambda: apply(border, packet_filter, rules), lambda: undo(border, packet_filter, rules),
                 attacks, wanted)
    refused_like_a_closed_port(lab, border, packet_filter, rules, NODE_A)
    # Beside the border's other rules.
    for name in ("border", "ssh-border"):
        apply(border, packet_filter, f"{SUBNET}/{name}")
    succeed(wanted)
    fail(attacks)


@ONE_BACK_END
def test_untrusted_subnet(make_lab, packet_filter):
    """The same rules on both nodes: control between these, and data not at all, in neither direction."""
    lab = listening(make_lab(UNTRUSTED, iptables_of(packet_filter)), "node-a", "node-b", "outsider", "admin")
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    node_a, node_b = ("203.0.113.11", "2001:db8:2::11"), ("203.0.113.12", "2001:db8:2::12")
    strangers = (outsider.address(4), outsider.address(6))
    rules = f"{UNTRUSTED}/libvirt"
    accept_before(node)
    # Right beside the nodes' addresses.
    neighbours = ("203.0.113.10", "203.0.113.13", "2001:db8:2::10", "2001:db8:2::13")
    outsider.sh("\n".join(f"ip address add {address}/{64 if ':' in address else 24} dev eth0"
                          + (" nodad" if ":" in address else "") for address in neighbours))

    def on_both(act) -> None:
        for host in (node, other):
            act(host, packet_filter, rules)

    attacks = (probes(lab, ("outsider", "guest-a", "admin"), node_a + node_b, *PORTS)
               | claiming(outsider, neighbours, node_a, *PORTS)
               | probes(lab, ["node-b"], node_a, DATA, LAST_DATA)
               | probes(lab, ["node-a"], node_b + strangers, DATA, LAST_DATA))
    wanted = (probes(lab, ["node-b"], node_a, CONTROL) | probes(lab, ["node-a"], node_b + strangers, CONTROL)
              | probes(lab, ["node-a"], ("127.0.0.1", "::1"), *PORTS) | from_the_range(node, strangers)
              | from_the_range(outsider, node_a))
    wanted |= probes(lab, ["node-a"], strangers, *OTHERS)
    rest = probes(lab, ["outsider"], node_a, *OTHERS)
    assert_cycle([node, other], lambda: on_both(apply), lambda: on_both(undo), attacks, wanted | rest)
    for target in node_a:
        assert other.ask(do="hold", address=target, port=CONTROL)["alive"]
    refused_like_a_closed_port(lab, node, packet_filter, rules, node_a)
    fail(probes(lab, ["node-b"], node_a, DATA, LAST_DATA), "by the rules of the one that is to receive: ")
    apply(other, packet_filter, rules)
    served = from_the_range(outsider, node_a)
    wanted = {name: probe for name, probe in wanted.items() if name not in served}
    past_domain_0s_firewall(lab, packet_filter, attacks | rest | served, wanted)
    assert other.ask(do="alive")["alive"]
    undo(node, packet_filter, "domain-0/firewall")

    # By a card where no node is, a node's address counts for nothing.
    undo(node, packet_filter, rules)
    a_card_of_its_own(lab, node_b)
    by_another_card = claiming(lab["guest-a"], node_b, node_a, CONTROL)
    succeed(by_another_card)
    apply(node, packet_filter, rules)
    fail(by_another_card)


def test_the_ports_are_kept_to_the_nodes_as_they_are_applied(make_lab):
    """A file for nftables and the two for iptables, beside each other, change nothing of it."""
    lab = listening(make_lab(ISOLATED), "node-a")
    node = lab["node-a"]
    for packet_filter in ("nftables", "iptables-nft"):
        apply(node, packet_filter, f"{ISOLATED}/libvirt")
    succeed(probes(lab, ["node-b"], ("192.168.1.1", "2001:db8:1::1"), *PORTS))
    fail(probes(lab, ["outsider"], ("203.0.113.11", "2001:db8:2::11"), *PORTS))
