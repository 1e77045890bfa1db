# SPDX-License-Identifier: MIT
"""An untrusted subnet with WireGuard: relocation through the tunnel, and by no other way."""
from __future__ import annotations

import re

import pytest

from tests.lab import wireguard
from tests.lab.client_port import answered, begun_by_both
from tests.lab.cycle import assert_cycle, fail, probes, succeed, verdicts
from tests.lab.filters import accept_before, apply, iptables_of, undo
from tests.lab.namespaces import PROJECT, Host, Lab
from tests.lab.wait import until

SCENARIO = "untrusted-subnet"
RULES = f"{SCENARIO}/wireguard"
DOMAIN_0 = "domain-0/firewall"
SSH = f"{SCENARIO}/ssh"
OUTER_A, OUTER_B = ("203.0.113.11", "2001:db8:2::11"), ("203.0.113.12", "2001:db8:2::12")
INNER_A, INNER_B = ("192.168.1.1", "2001:db8:1::1"), ("192.168.1.2", "2001:db8:1::2")
#: What a third peer of node-b's has, which is no node: an administrator's machine, say.
INNER_C = ("192.168.1.3", "2001:db8:1::3")
#: Beside the nodes' addresses, where a network that is one bit too wide would reach: INNER_C, and these.
INNER_BESIDE = ("192.168.1.0", "2001:db8:1::")
OUTER_BESIDE = (("203.0.113.10", "2001:db8:2::10"), ("203.0.113.13", "2001:db8:2::13"))
GUEST_A, OUTSIDER = ("203.0.113.101", "2001:db8:2::101"), ("203.0.113.66", "2001:db8:2::66")


@pytest.fixture
def make_tunnel(make_lab):
    """Start a lab in which the two nodes have the tunnel as the page has it."""
    def make(iptables: str = "iptables-nft") -> Lab:
        lab = make_lab(SCENARIO, iptables)
        if reason := wireguard.why_not():
            pytest.skip(reason)
        keys = {name: wireguard.make_key(lab[name]) for name in ("node-a", "node-b")}
        for name, peer in (("node-a", "node-b"), ("node-b", "node-a")):
            text = (PROJECT / "examples" / SCENARIO / f"wg0-{name}.conf").read_text(encoding="utf-8")
            wireguard.configure(lab[name], text, keys[peer])
        return lab
    return make


def third_peer(lab: Lab, host: Host, addresses: tuple[str, ...] = INNER_C) -> None:
    """Give a host a tunnel to node-b that is as valid as node-a's, with inner addresses of its own."""
    node, key = lab["node-b"], wireguard.make_key(host)
    node.sh(f"wg set wg0 peer {key} allowed-ips {','.join(addresses)}; "
            f"for i in {' '.join(addresses)}; do ip route add $i dev wg0; done")
    wireguard.configure(host, f"""[Interface]
Address = {", ".join(addresses)}
PostUp = wg set %i private-key /etc/wireguard/private-key
[Peer]
PublicKey =
Endpoint = {OUTER_B[0]}:51820
AllowedIPs = {INNER_B[0]}/32, {INNER_B[1]}/128
""", node.run("wg", "show", "wg0", "public-key").stdout.strip())


def in_clear(host: Host, next_hops: tuple[str, str]) -> None:
    """Send what is for node-b's inner addresses to that neighbour, in clear."""
    for inner, hop in zip(INNER_B, next_hops, strict=True):
        host.sh(f"ip route add {inner} via {hop}")


def datagrams(host: Host) -> dict:
    """To WireGuard's port on node-b, and to one where nobody listens."""
    return datagrams_from(host, ("", ""), OUTER_B, 51820) | datagrams_from(host, ("", ""), OUTER_B, 51821)


def datagrams_from(host: Host, sources: tuple[str, str], targets: tuple[str, str], port: int = 9999) -> dict:
    """From addresses of its own, one for each version of IP."""
    return {f"{source} -> {target} {port}".removeprefix(" -> "): (lambda source=source, target=target: host.ask(
        do="datagram", address=target, port=port, source=source)["verdict"])
        for source, target in zip(sources, targets, strict=True)}


def heard(host: Host) -> int:
    """How many datagrams have come to a host's own port."""
    return host.ask(do="datagrams_heard")["count"]


def forwarded(lab: Lab, mark: str) -> dict[str, int]:
    """How many datagrams get through node-a: of its guest, sent as if by node-b to WireGuard's port, and out of the
    tunnel. None needs an answer, which would have to get through, too."""
    guest, receiver, outsider = lab["guest-a"], lab["node-b"], lab["outsider"]
    before = heard(guest)
    guest.ask(do="packets", interface="eth0", mac=lab["node-a"].mac("xenbr0"), packets=[
        dict(source=source, address=address, kind="udp 51820 51820", mark=f"{mark:>6}{number:>2}")
        for number, (source, address) in enumerate(zip(OUTER_B * 2, INNER_B + OUTSIDER, strict=True))])
    verdicts(datagrams_from(receiver, INNER_B, GUEST_A))

    def marks(host: Host, *numbers: int) -> int:
        return sum(host.ask(do="was_heard", mark=f"{mark:>6}{number:>2}")["heard"] for number in numbers)

    return {"into the tunnel": marks(receiver, 0, 1), "past it": marks(outsider, 2, 3),
            "out of the tunnel": heard(guest) - before}


def test_relocation_by_the_tunnel_alone(make_tunnel, packet_filter):
    """Attackers: on the wire, to the outer address and to the inner one in clear; a peer that is no node;
    a guest of a node that forwards for its guests in its own name; an impostor, when the tunnel is forgotten."""
    lab = make_tunnel(iptables_of(packet_filter))
    sender, receiver = nodes = lab["node-a"], lab["node-b"]
    third_peer(lab, lab["admin"], INNER_C + INNER_BESIDE)
    in_clear(lab["outsider"], OUTER_B)
    in_clear(lab["guest-a"], OUTER_A)
    sender.sh("""
        echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        ip -6 route replace default via 2001:db8:2::1
        nft 'table ip why { chain nat { type nat hook postrouting priority srcnat; oifname wg0 masquerade; }; }'
        nft 'table ip6 why { chain nat { type nat hook postrouting priority srcnat; oifname wg0 masquerade; }; }'
    """)
    sender.listen(8002)
    receiver.listen(8002)
    receiver.listen(22)
    lab["outsider"].listen(8002)
    # One end begins: two handshakes that cross are begun again after 5 s.
    succeed(probes(lab, ("node-a",), INNER_B), "node-a begins: ")
    for node in nodes:
        accept_before(node)
    from_beside = {f"{source} -> {target}": (lambda source=source, target=target: lab["admin"].probe(
        target, 8002, source=source)) for source, target in zip(INNER_BESIDE, INNER_B, strict=True)}

    def all_nodes(do) -> None:
        for node in nodes:
            do(node, packet_filter, RULES)

    assert_cycle(
        nodes, lambda: all_nodes(apply), lambda: all_nodes(undo),
        probes(lab, ("outsider", "guest-a", "node-a", "admin"), OUTER_B)
        | probes(lab, ("outsider", "guest-a", "admin"), INNER_B)
        | probes(lab, ("node-b",), OUTSIDER) | from_beside,
        probes(lab, ("node-a",), INNER_B)
        | probes(lab, ("node-b",), ("127.0.0.1", "::1", *INNER_B, *INNER_A))
        | probes(lab, ("admin",), (*OUTER_B, *INNER_B), 22))
    # Nothing is forwarded into the tunnel or out of it; whatever else a node forwards is not the rules' concern.
    key = receiver.sh("wg show wg0 allowed-ips | grep '192.168.1.1/'").stdout.split()[0]
    receiver.sh(f"wg set wg0 peer {key} allowed-ips {','.join(INNER_A + GUEST_A)}; "
                f"for i in {' '.join(GUEST_A)}; do ip route add $i dev wg0; done")
    for address in GUEST_A:
        lab["guest-a"].ask(do="listen_udp", address=address, port=9999)
    for host in (receiver, lab["outsider"]):
        host.ask(do="hear")
    assert forwarded(lab, "before") == {"into the tunnel": 2, "past it": 2, "out of the tunnel": 2}
    apply(sender, packet_filter, RULES)
    assert forwarded(lab, "with") == {"into the tunnel": 0, "past it": 2, "out of the tunnel": 0}
    undo(sender, packet_filter, RULES)
    # The receiver's own rules suffice for what is sent to it; and they replace those that refuse all relocation.
    before = receiver.rules()
    apply(receiver, packet_filter, f"{SCENARIO}/firewall")
    fail(probes(lab, ("node-a",), (*OUTER_B, *INNER_B)))
    apply(receiver, packet_filter, RULES)
    fail(probes(lab, ("node-a",), OUTER_B))
    succeed(probes(lab, ("node-a",), INNER_B))
    for host, targets in ((lab["outsider"], OUTER_B), (receiver, OUTSIDER)):
        for target in targets:  # in and out, it is as if nothing listened
            assert host.ask(do="refusal", address=target, port=8002)["refusal"] == "reset"
    undo(receiver, packet_filter, RULES)
    assert receiver.rules() == before

    # With the ports of libvirt, as the page has it.
    receiver.sh("sed -i 's/relocation_port = 8002/relocation_port = 49152-49216/; s/--dport 8002/--dport 49152:49216/' "
                f"{RULES}.nft {RULES}.v4 {RULES}.v6")
    receiver.listen(49216)
    succeed(probes(lab, ("node-a", "outsider"), OUTER_B, 49216))
    apply(receiver, packet_filter, RULES)
    fail(probes(lab, ("node-a", "outsider"), OUTER_B, 49216))
    succeed(probes(lab, ("node-a",), INNER_B, 49216))


def test_before_the_tunnel_is_there(make_lab, packet_filter):
    """The rules are accepted without wg0, and relocation is refused; what answers a connection is no relocation."""
    lab = make_lab(SCENARIO, iptables_of(packet_filter))
    node, outsider = lab["node-b"], lab["outsider"]
    node.run("cp", f"{SCENARIO}/wg0-node-b.conf", "/etc/wireguard/wg0.conf")
    assert_cycle([node], lambda: apply(node, packet_filter, RULES), lambda: undo(node, packet_filter, RULES),
                 begun_by_both(node, outsider), answered(node, outsider))
    apply(node, packet_filter, RULES)
    node.listen(8002)
    fail(probes(lab, ("outsider", "guest-a", "node-a"), OUTER_B))
    undo(node, packet_filter, RULES)
    succeed(probes(lab, ("outsider", "guest-a", "node-a"), OUTER_B))


def test_ssh_through_the_tunnel(make_tunnel, packet_filter):
    """xl and libvirt's xen+ssh log in by ssh: with the page's lines the nodes are let in by wg0, by Domain-0's firewall
    alone, and by the scenario's rules for ssh with it and without."""
    lab = make_tunnel(iptables_of(packet_filter))
    node = lab["node-b"]
    third_peer(lab, lab["guest-a"])
    in_clear(lab["outsider"], OUTER_B)
    node.listen(22)
    wanted = probes(lab, ("node-a",), INNER_B, 22)
    strangers = probes(lab, ("outsider", "guest-a"), INNER_B, 22) | probes(lab, ("outsider",), OUTER_B, 22)
    by_the_outer_address = probes(lab, ("node-a",), OUTER_B, 22)
    succeed(wanted | strangers | by_the_outer_address)
    node.sh("mkdir /run/before; cp domain-0/firewall.* /run/before")
    apply(node, packet_filter, RULES)
    apply(node, packet_filter, DOMAIN_0)
    fail(wanted | strangers | by_the_outer_address)
    add_lines_of_the_page(node, DOMAIN_0, {"nft": "ct state established", "v4": "ESTABLISHED", "v6": "ESTABLISHED"})
    apply(node, packet_filter, DOMAIN_0)
    succeed(wanted)
    fail(strangers | by_the_outer_address)

    apply(node, packet_filter, SSH)
    fail(wanted | strangers)
    node.sh("cp /run/before/* domain-0")
    apply(node, packet_filter, DOMAIN_0)
    add_lines_of_the_page(node, SSH, {"nft": "ip6 saddr $node_address6", "v4": "-i xenbr0", "v6": "-i xenbr0"})
    apply(node, packet_filter, SSH)
    succeed(wanted | by_the_outer_address)
    fail(strangers)
    undo(node, packet_filter, DOMAIN_0)
    succeed(wanted | by_the_outer_address)
    fail(strangers)


def add_lines_of_the_page(node: Host, rules: str, after: dict[str, str]) -> None:
    """Put what the page's list has for these rules below the line with a text, by the file's ending."""
    page = (PROJECT / "source/scenarios/untrusted-subnet-wireguard.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^`(\S+\.(?:nft|v4|v6))`\n: (`.*`\n(?:\n  `.*`\n)*)", page, re.MULTILINE))
    for ending, text in after.items():
        file = f"{rules}.{ending}"
        lines = node.run("cat", file).stdout.splitlines()
        place = next(number for number, line in enumerate(lines) if text in line) + 1
        lines[place:place] = re.findall("`(.*)`", listed[file])
        node.run("tee", file, input="\n".join(lines) + "\n")


def test_inner_addresses_on_the_wire(make_tunnel, packet_filter):
    """With node-a's tunnel down, an impostor has node-b's inner addresses, where the default route leads, and a
    guest has node-a's: both in clear."""
    lab = make_tunnel(iptables_of(packet_filter))
    sender, receiver, impostor, forger = (lab[name] for name in ("node-a", "node-b", "outsider", "guest-a"))
    impostor.sh(f"ip address add {INNER_B[0]} dev lo; ip address add {INNER_B[1]} dev lo nodad")
    lab["router"].sh(f"ip route add {INNER_B[0]} via 203.0.113.66; ip route add {INNER_B[1]} via 2001:db8:2::66")
    forger.sh(f"ip address add {INNER_A[0]} dev lo; ip address add {INNER_A[1]} dev lo nodad")
    in_clear(forger, OUTER_B)
    # The reverse path check would refuse this over IPv4, and does not exist for IPv6.
    receiver.sh("for i in all xenbr0; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done")
    for host in (receiver, impostor):
        host.listen(8002)

    def forged(source: str, target: str) -> str:
        """``open`` where the SYN is answered; the answer goes into the tunnel, where nobody is now."""
        assert forger.probe(target, 8002, source=source) == "filtered"
        return "open" if receiver.half_open(8002, source) else "filtered"

    attacks = probes(lab, ("node-a",), INNER_B) | {
        f"as {source} -> {target}": (lambda source=source, target=target: forged(source, target))
        for targets in (INNER_B, OUTER_B) for source, target in zip(INNER_A, targets, strict=True)}

    for node in (sender, receiver):
        apply(node, packet_filter, RULES)
    sender.run("wg-quick", "down", "wg0")
    fail(attacks)
    for node in (sender, receiver):
        undo(node, packet_filter, RULES)
    succeed(attacks)


def test_with_domain_0s_firewall(make_tunnel, packet_filter):
    """Applied and undone in any order: the tunnel stands while these rules do, and lets in relocation alone."""
    lab = make_tunnel(iptables_of(packet_filter))
    sender, receiver, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    receiver.sh(f"cp {SCENARIO}/xend-config-wireguard.sxp /etc/xen/xend-config.sxp; "
                "python3 check_values.py /etc/xen/xend-config.sxp; xend restart")
    assert receiver.run("ss", "-Hltn", "sport = :8002").stdout.split()[3] == "192.168.1.2:8002"
    assert receiver.probe(INNER_B[0], 8003) == "refused"  # where xend would speak TLS
    # Whatever name an address has, only a node's is let in by xend.
    names = ("192x168.1.1", "192.168x1.1", "192.168.1x1", "192.168.1.10", "192.168.1.3", "other")
    for number, name in enumerate(names, 2):
        receiver.sh(f"echo 127.0.0.{number} {name} >>/etc/hosts")
        assert receiver.relocate(INNER_B[0], source=f"127.0.0.{number}") == "rejected", name
    receiver.listen(5900)
    receiver.listen(8002, INNER_B[1])  # xend has no IPv6
    before = receiver.rules()
    for name in (DOMAIN_0, RULES):
        apply(sender, packet_filter, name)
    wanted = {"relocation": lambda: sender.relocate(INNER_B[0])} | probes(lab, ("node-a",), INNER_B[1:])
    the_rest = probes(lab, ("node-a",), INNER_B + OUTER_B, 5900)
    to_the_port = datagrams(outsider) | datagrams_from(sender, OUTER_A, OUTER_B, 51821)
    for beside in OUTER_BESIDE:
        outsider.sh(f"ip address add {beside[0]}/24 dev eth0; ip address add {beside[1]}/64 dev eth0 nodad")
        to_the_port |= datagrams_from(outsider, beside, OUTER_B, 51820)
    for address in OUTER_B:
        receiver.ask(do="listen_udp", address=address, port=51821)  # which would answer
    between_nodes = (datagrams_from(sender, OUTER_A, OUTER_B, 51820)
                     | datagrams_from(receiver, OUTER_B, OUTER_A, 51820))

    def end_sessions(endpoint: str) -> None:
        """Begin anew, with no connection tracked; node-a will send to that address of node-b."""
        for name in ("node-a", "node-b"):
            wireguard.restart(lab[name])
            lab[name].run("conntrack", "-F")
        lab["node-a"].sh(f"wg set wg0 peer $(wg show wg0 peers) endpoint {endpoint}:51820")

    for first, second in ((DOMAIN_0, RULES), (RULES, DOMAIN_0)):
        for name in (first, second):
            apply(receiver, packet_filter, name)
        for endpoint, own in ((OUTER_B[0], OUTER_A[0]), (f"[{OUTER_B[1]}]", f"[{OUTER_A[1]}]")):
            end_sessions(endpoint)
            # A first packet that comes while the other end is not yet up is sent again after 5 s.
            until(lambda: lab["node-a"].relocate(INNER_B[0]) == "ready", f"relocation through {endpoint}")
            assert f"{own}:51820" in receiver.run("wg", "show", "wg0", "endpoints").stdout
        succeed(wanted)
        fail(the_rest)
        assert set(verdicts(between_nodes).values()) == {"filtered"}, "admitted, and WireGuard does not answer"
        assert set(verdicts(to_the_port).values()) == {"refused"}, "a stranger learns nothing from the tunnel's port"
        undo(receiver, packet_filter, first)
        if first == DOMAIN_0:
            succeed(wanted | the_rest)
        else:
            end_sessions(OUTER_B[0])
            fail(wanted | the_rest)
        undo(receiver, packet_filter, second)
        assert receiver.rules() == before
    end_sessions(OUTER_B[0])
    until(lambda: lab["node-a"].relocate(INNER_B[0]) == "ready", "without rules, all is as before")
    succeed(the_rest)


def test_a_forged_inner_address_is_refused(make_tunnel):
    """A third peer, whose tunnel is valid, sends as node-a: node-b's AllowedIPs keep its packets out, and nothing
    else does here, since there are no rules."""
    lab = make_tunnel()
    forger, sender, receiver = lab["admin"], lab["node-a"], lab["node-b"]
    sender.listen(8002)
    succeed(probes(lab, ("node-b",), INNER_A), "node-b begins: ")
    third_peer(lab, forger)
    receiver.listen(8002)
    for forged, target in zip(INNER_A, INNER_B, strict=True):
        forger.sh(f"ip address add {forged} dev wg0")
        receiver.ask(do="listen_udp", address=target, port=9999)

    as_node_a = {target: (lambda target=target, forged=forged: forger.probe(target, 8002, source=forged))
                 for forged, target in zip(INNER_A, INNER_B, strict=True)}
    # An answer would go to node-a. So what counts is that the datagrams after these are heard, and these were not.
    # Nor is a node heard by the other from an address beside its own.
    sender.sh(f"ip address add {INNER_BESIDE[0]} dev wg0; ip address add {INNER_BESIDE[1]} dev wg0 nodad")
    fail(datagrams_from(forger, INNER_A, INNER_B) | datagrams_from(sender, INNER_BESIDE, INNER_B) | as_node_a)
    succeed(datagrams_from(forger, INNER_C, INNER_B) | datagrams_from(sender, INNER_A, INNER_B))
    assert heard(receiver) == 4

    key = forger.sh("wg pubkey </etc/wireguard/private-key").stdout.strip()
    receiver.sh(f"wg set wg0 peer {key} allowed-ips {','.join(INNER_A)}")
    succeed(as_node_a, "with AllowedIPs that are too wide: ")

    # All is as before, and node-b has that peer's addresses itself.
    receiver.sh(f"wg set wg0 peer {key} remove; wg set wg0 peer $(wg show wg0 peers) allowed-ips {','.join(INNER_A)}; "
                f"ip address add {INNER_C[0]} dev wg0; ip address add {INNER_C[1]} dev wg0 nodad")
    for address in INNER_A:
        sender.ask(do="listen_udp", address=address, port=9999)
    fail(datagrams_from(receiver, INNER_C, INNER_A))
    succeed(datagrams_from(receiver, INNER_B, INNER_A))
    assert heard(sender) == 2


def test_a_stranger_gets_no_answer(make_tunnel):
    """Whoever has no key that node-b knows hears nothing: not to a datagram, and not to a handshake."""
    lab = make_tunnel()
    stranger, receiver = lab["outsider"], lab["node-b"]
    said = verdicts(datagrams(stranger))
    assert {said[f"{address} 51820"] for address in OUTER_B} == {"filtered"}
    assert {said[f"{address} 51821"] for address in OUTER_B} == {"refused"}, "where nobody listens"
    receiver.listen(8002)
    third_peer(lab, stranger)
    succeed(probes(lab, ("outsider",), INNER_B))
    key = stranger.sh("wg pubkey </etc/wireguard/private-key").stdout.strip()
    receiver.sh(f"wg set wg0 peer {key} remove")
    wireguard.restart(stranger)
    fail(probes(lab, ("outsider",), INNER_B))
    transfer = stranger.run("wg", "show", "wg0", "transfer").stdout.split()
    assert transfer[1] == "0" and int(transfer[2]) > 0, "asked, and got no answer"
