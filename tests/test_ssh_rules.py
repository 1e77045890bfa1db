# SPDX-License-Identifier: MIT
"""ssh, and so xl's live migration, by card and source: in each scenario from the nodes and the administrators only."""
from __future__ import annotations

import re

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
    SSH,
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
    has,
    route,
    syns_in_frames,
    ways_by_the_border,
)
from tests.lab.cycle import Probes, assert_cycle, fail, probes, succeed, verdicts
from tests.lab.filters import accept_before, apply, apply_nft, iptables_of, undo, undo_nft
from tests.lab.namespaces import PROJECT, Host, Lab
from tests.lab.wait import until

#: What no rule here is about.
ANOTHER = 5900
BORDER, GUESTS = f"{SUBNET}/ssh-border", f"{SUBNET}/ssh-guests"
#: Right beside the administrators' network, and its upper half.
BESIDE_ADMIN, LAST_ADMIN = ("198.51.101.10", "2001:db8:a:1::10"), ("198.51.100.200", "2001:db8:a:0:8000::10")
STRANGER_AND_ADMINISTRATOR = ("outsider", "admin")


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


def know_other_administrators(lab: Lab) -> None:
    """Domain-0's firewall on node-a will know other administrators than these, one of whom is logged in already: that
    is no connection that it has seen begin."""
    lab["node-a"].sh("sed -i 's,198.51.100.0/24,192.0.2.0/24,; s,2001:db8:a::/64,2001:db8:b::/64,' domain-0/firewall.*")


def test_isolated_management_network(make_lab, packet_filter):
    """By the node's own address, and by its management address, to which the outsider and the guest have a route."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter))
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    outside = ("203.0.113.11", "2001:db8:2::11")
    rules = f"{ISOLATED}/ssh"
    for port in (SSH, ANOTHER, 8002):
        node.listen(port)
    outsider.listen(SSH)
    accept_before(node)
    forged = claim_management(lab, outside)
    # By the management card, too, a source of neither network is none; an administrator may come by any card.
    by_the_card = ("198.51.100.201", "2001:db8:a:0:8000::c9")
    claim_beside_and_last(lab, by_the_card)
    beside, admitted = administrators(lab, outside)

    attacks = (probes(lab, ("outsider", "guest-a"), outside + NODE_A, SSH) | claiming(outsider, forged, NODE_A)
               | claiming(other, BESIDE, NODE_A) | beside)
    wanted = (probes(lab, ["node-b"], NODE_A, SSH) | claiming(other, LAST + by_the_card, NODE_A) | admitted
              | itself(node) | probes(lab, ["node-a"], ("203.0.113.66", "2001:db8:2::66"), SSH))
    rest = probes(lab, ["outsider"], outside, ANOTHER, 8002)  # which is open but for Domain-0's firewall
    assert_cycle([node], lambda: apply(node, packet_filter, rules), lambda: undo(node, packet_filter, rules),
                 attacks, wanted | rest)
    assert_refused_and_open(lab, STRANGER_AND_ADMINISTRATOR, node, packet_filter, rules, outside, SSH)
    know_other_administrators(lab)
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest, wanted)
    assert lab["admin"].ask(do="alive")["alive"]


def cluster(lab: Lab) -> Lab:
    """Something on port 22 everywhere, and more addresses of node-a, to which its neighbours know the way."""
    for name in ("node-a", "node-b", "guest-a", "border", "distant", "admin"):
        lab[name].listen(SSH)
    lab["node-a"].listen(ANOTHER)
    further_addresses(lab)
    return lab


@ONE_BACK_END
def test_subnet_behind_a_firewall(make_lab, packet_filter):
    """The nodes' own rules, by address; of the guests, they keep out those that are not on the subnet."""
    lab = cluster(make_lab(SUBNET, iptables_of(packet_filter)))
    node, other = lab["node-a"], lab["node-b"]
    rules = f"{SUBNET}/ssh"
    claimed = claim_in_the_cluster(lab)
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
    assert_refused_and_open(lab, STRANGER_AND_ADMINISTRATOR, node, packet_filter, rules, NODE_A, SSH)
    know_other_administrators(lab)
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest, wanted)
    assert lab["admin"].ask(do="alive")["alive"]


def test_subnet_behind_a_firewall_guests_but_a_jump_host(make_lab):
    """With the page's lines, one guest gets to the subnet, by the name of its card; without them it is like all."""
    lab = cluster(make_lab(SUBNET))
    node = lab["node-a"]
    node.sh("ip link set vif1.0 down; ip link set vif1.0 name vif-jump; ip link set vif-jump up")
    logins = probes(lab, ["guest-a"], (*NODE_A, *NODE_B), SSH)
    until(lambda: set(verdicts(logins).values()) == {"open"}, "the card is up again")
    apply_nft(node, GUESTS)
    apply(node, "nftables", f"{SUBNET}/ssh")
    fail(logins)
    page = (PROJECT / "source/scenarios/subnet-behind-a-firewall.md").read_text(encoding="utf-8")
    lines = re.findall('`(iifname "vif-jump" .*)`', page)
    assert len(lines) == 2
    before, drops, after = node.run("cat", f"{GUESTS}.nft").stdout.partition("        ip daddr")
    node.run("tee", f"{GUESTS}.nft", input="\n".join([before, *lines, drops + after]))
    apply_nft(node, GUESTS)
    succeed(logins)


def test_subnet_behind_a_firewall_guests(make_lab):
    """By the port of the bridge: whatever a guest claims, and whatever tags it puts before it."""
    lab = cluster(make_lab(SUBNET))
    node, other, guest, distant = lab["node-a"], lab["node-b"], lab["guest-a"], lab["distant"]
    node.listen(8002)
    # Beside the subnet, and on the way out.
    has(distant, *BESIDE)
    route(lab["router"], BESIDE, FAR)

    syn = syns_in_frames(node, 8002)
    by_the_wire = f"{node.link_local('xenbr0')}%eth0"
    attacks = probes(lab, ["guest-a"], (*NODE_A, *NODE_B, *FURTHER_LAST, by_the_wire), SSH) | {
        str(tags): syn(guest, tags, SSH) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100])} | {
        "as an administrator": syn(guest, [], SSH, source="198.51.100.")}
    wanted = (probes(lab, ["node-b", "admin"], NODE_A, SSH) | probes(lab, ["node-a"], NODE_B, SSH)
              | probes(lab, ["guest-a"], FAR + BESIDE, SSH) | probes(lab, ["guest-a"], NODE_A, ANOTHER)
              | probes(lab, ["node-a", "node-b", "admin"], (guest.address(4), guest.address(6)), SSH)
              | {"tagged, from another node": syn(other, [0x8100], SSH, "xenbr0")})
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
    border, guest = lab["border"], lab["guest-a"]
    accept_before(border)
    back_in = ways_by_the_border(lab)
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
    assert_refused_and_open(lab, STRANGER_AND_ADMINISTRATOR, border, packet_filter, BORDER, NODE_A, SSH)
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
    neighbours = claim_beside_the_nodes(outsider)
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
    assert_refused_and_open(lab, STRANGER_AND_ADMINISTRATOR, node, packet_filter, rules, node_a, SSH)
    apply(other, packet_filter, rules)
    know_other_administrators(lab)
    assert_past_domain_0s_firewall(node, packet_filter, attacks | rest, wanted)
    assert lab["admin"].ask(do="alive")["alive"]
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
