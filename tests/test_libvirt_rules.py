# SPDX-License-Identifier: MIT
"""libvirt's control over TLS and its live migration's data: in each scenario from the nodes only, or not at all."""
from __future__ import annotations

from tests.by_address import (
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
    assert_past_domain_0s_firewall,
    assert_refused_and_open,
    claim_beside_and_last,
    claim_beside_the_nodes,
    claim_in_the_cluster,
    claim_management,
    claiming,
    further_addresses,
    syns_in_frames,
    ways_by_the_border,
)
from tests.lab.cycle import Probes, assert_cycle, fail, probes, succeed
from tests.lab.filters import accept_before, apply, apply_nft, iptables_of, undo, undo_nft
from tests.lab.namespaces import Host, Lab

CONTROL, DATA, LAST_DATA = 16514, 49152, 49216
#: What the rules are about: the ends of the range stand for it.
PORTS = (DATA, LAST_DATA, CONTROL)
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


def test_isolated_management_network(make_lab, packet_filter):
    """By the node's own address, and by its management address, to which the outsider and the guest have a route."""
    lab = listening(make_lab(ISOLATED, iptables_of(packet_filter)), "node-a", "outsider")
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    outside = ("203.0.113.11", "2001:db8:2::11")
    rules = f"{ISOLATED}/libvirt"
    accept_before(node)
    forged = claim_management(lab, outside)
    claim_beside_and_last(lab)

    attacks = (probes(lab, ("outsider", "guest-a"), outside + NODE_A, *PORTS)
               | claiming(outsider, forged, NODE_A, *PORTS) | claiming(other, BESIDE, NODE_A, *PORTS))
    wanted = (probes(lab, ["node-b"], NODE_A, *PORTS) | claiming(other, LAST, NODE_A, *PORTS)
              | probes(lab, ["node-a"], ("127.0.0.1", "::1"), *PORTS)
              | from_the_range(node, (outsider.address(4), outsider.address(6)))
              | probes(lab, ["node-a"], (outsider.address(4), outsider.address(6)), *PORTS))
    rest = probes(lab, ["outsider"], outside, *OTHERS)  # which is open but for Domain-0's firewall
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    assert other.ask(do="hold", address=NODE_A[0], port=DATA)["alive"]
    assert other.ask(do="hold", address=NODE_A[1], port=DATA)["alive"]
    assert_refused_and_open(lab, ("outsider",), node, packet_filter, rules, outside, *PORTS)
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest, wanted)
    # Nor is a migration cut that has begun before Domain-0's firewall, which has not seen it begin.
    assert other.ask(do="alive")["alive"]


def cluster(lab: Lab) -> Lab:
    """More addresses of node-a, to which its neighbours know the way."""
    listening(lab, "node-a", "node-b", "guest-a", "distant")
    further_addresses(lab)
    return lab


@ONE_BACK_END
def test_subnet_behind_a_firewall(make_lab, packet_filter):
    """The nodes' own rules, by address; of the guests, they keep out those that are not on the subnet."""
    lab = cluster(make_lab(SUBNET, iptables_of(packet_filter)))
    node, other = lab["node-a"], lab["node-b"]
    rules = f"{SUBNET}/libvirt"
    claimed = claim_in_the_cluster(lab)

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
    assert_refused_and_open(lab, ("outsider",), node, packet_filter, rules, NODE_A, *PORTS)
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest, wanted)
    assert other.ask(do="alive")["alive"]


def test_subnet_behind_a_firewall_guests(make_lab):
    """By the port of the bridge: whatever a guest claims, and whatever tags it puts before it."""
    lab = cluster(make_lab(SUBNET))
    rules = f"{SUBNET}/libvirt-guests"
    node, guest = lab["node-a"], lab["guest-a"]
    syn = syns_in_frames(node, SERVICE)

    # The node's link-local address, and another in the last part of those.
    by_the_wire = (f"{node.link_local('xenbr0')}%eth0", "febf::5%eth0")
    node.run("ip", "address", "add", "febf::5/64", "dev", "xenbr0", "nodad")
    guest.run("ip", "route", "add", "febf::/64", "dev", "eth0")
    attacks = probes(lab, ["guest-a"], (*NODE_A, *NODE_B, *FURTHER_LAST, *by_the_wire), *PORTS) | {
        f"{tags} {port}": syn(guest, tags, port) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100])
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
    border, guest = lab["border"], lab["guest-a"]
    rules = f"{SUBNET}/libvirt-border"
    accept_before(border)
    back_in, administrator = ways_by_the_border(lab), ("198.51.100.10", "2001:db8:a::10")
    inside = NODE_A + NODE_B + (guest.address(4), guest.address(6))
    attacks = probes(lab, ("outsider", "distant", "admin"), inside, *PORTS)
    wanted = (probes(lab, ["node-a", "guest-a"], FAR, *PORTS) | probes(lab, ["node-b"], NODE_A + back_in, *PORTS)
              | probes(lab, ["outsider"], administrator, *PORTS)
              | probes(lab, ["outsider", "node-b"], ("203.0.113.254", "2001:db8:2::fe"), *PORTS)
              | from_the_range(lab["node-a"], FAR) | probes(lab, ["outsider"], NODE_A, *OTHERS))
    assert_cycle([border], lambda: apply(border, packet_filter, rules), lambda: undo(border, packet_filter, rules),
                 attacks, wanted)
    assert_refused_and_open(lab, ("outsider",), border, packet_filter, rules, NODE_A, *PORTS)
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
    neighbours = claim_beside_the_nodes(outsider)

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
    assert_refused_and_open(lab, ("outsider",), node, packet_filter, rules, node_a, *PORTS)
    fail(probes(lab, ["node-b"], node_a, DATA, LAST_DATA), "by the rules of the one that is to receive: ")
    apply(other, packet_filter, rules)
    served = from_the_range(outsider, node_a)
    wanted = {name: probe for name, probe in wanted.items() if name not in served}
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest | served, wanted)
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
