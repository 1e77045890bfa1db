# SPDX-License-Identifier: MIT
"""The examples on hosts that have rules already: what they do there, what they do not, and what helps."""
from __future__ import annotations

import itertools
import subprocess

import pytest

from tests import guide
from tests.lab import as_they_are, namespaces, skip
from tests.lab.as_they_are import RULES
from tests.lab.cycle import fail, probes, succeed, verdicts
from tests.lab.filters import apply, iptables_of, undo
from tests.lab.namespaces import Host, Lab
from tests.transcripts import hosts, session
from tests.transcripts import page as pages

DOMAIN_0 = "domain-0/firewall"
ISOLATED = "isolated-management-network"
#: Each scenario: node-a's addresses for everybody, and those that the cluster relocates to, with who does.
SCENARIOS = {
    ISOLATED: (["203.0.113.11", "2001:db8:2::11"], "node-b", ["192.168.1.1", "2001:db8:1::1"]),
    "subnet-behind-a-firewall": (["192.168.1.1", "2001:db8:1::1"], "node-b", ["192.168.1.1", "2001:db8:1::1"]),
    "untrusted-subnet": (["203.0.113.11", "2001:db8:2::11"], "node-a", ["127.0.0.1", "::1"]),
}


def listening(lab: Lab) -> Host:
    for port in as_they_are.OPEN:
        lab["node-a"].listen(port)
    return lab["node-a"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cycle(make_lab, packet_filter, scenario):
    """Beside each of the rule sets, with bridged packets passed to iptables; undone, the host's own are as before."""
    lab = make_lab(scenario, iptables_of(packet_filter), bridge_nf=True)
    node = listening(lab)
    everybody, name, cluster = SCENARIOS[scenario]
    relocation, ssh = probes(lab, [name], cluster), probes(lab, ["admin"], everybody, 22)
    attacks, rest = probes(lab, ["outsider"], everybody), probes(lab, ["outsider"], everybody, 22, 5900)
    for rules in RULES.values():
        rules.load(node)
        before = node.rules()
        succeed(relocation | ssh | attacks | rest, f"{rules.name}: ")

        apply(node, packet_filter, f"{scenario}/firewall")
        apply(node, packet_filter, DOMAIN_0)
        fail(attacks, f"{rules.name}: ")
        succeed(relocation | ssh, f"{rules.name}: ")
        # As it is, and as the page says: an accept that comes first in iptables leaves Domain-0's chain no say.
        (succeed if rules.accepts_first and packet_filter != "nftables" else fail)(rest, f"{rules.name}: ")

        undo(node, packet_filter, DOMAIN_0)
        undo(node, packet_filter, f"{scenario}/firewall")
        assert node.rules() == before, rules.name
        as_they_are.clear(node)


def test_ssh_by_card_and_source(make_lab, packet_filter):
    """The rules about ssh, beside each of the rule sets; they are alike in each scenario, here those of one."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter), bridge_nf=True)
    node = listening(lab)
    everybody, name, cluster = SCENARIOS[ISOLATED]
    attacks, ssh = probes(lab, ["outsider"], everybody, 22), probes(lab, ["admin"], everybody, 22)
    ssh |= probes(lab, [name], cluster, 22)
    for rules in RULES.values():
        rules.load(node)
        before = node.rules()
        succeed(attacks | ssh, f"{rules.name}: ")
        apply(node, packet_filter, f"{ISOLATED}/ssh")
        fail(attacks, f"{rules.name}: ")
        succeed(ssh, f"{rules.name}: ")
        undo(node, packet_filter, f"{ISOLATED}/ssh")
        assert node.rules() == before, rules.name
        as_they_are.clear(node)


def test_what_a_host_refuses_is_for_it_to_admit(make_lab, packet_filter):
    """Where a host admits nobody, our accept overrules iptables if it is made there, and never firewalld."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter), bridge_nf=True)
    node = listening(lab)
    everybody, name, cluster = SCENARIOS[ISOLATED]
    relocation, attacks = probes(lab, [name], cluster), probes(lab, ["outsider"], everybody)
    for rules in (RULES["a distribution's list"], RULES["ufw"], RULES["firewalld"]):
        rules.load(node)
        node.sh(rules.close)
        fail(relocation, f"{rules.name} closed: ")
        apply(node, packet_filter, f"{ISOLATED}/firewall")
        overruled = packet_filter != "nftables" and rules.name != "firewalld"
        (succeed if overruled else fail)(relocation, f"{rules.name} closed, with the example: ")
        node.sh(rules.admit)
        succeed(relocation, f"{rules.name} told to admit: ")
        fail(attacks, f"{rules.name} told to admit: ")
        as_they_are.clear(node)


#: Nobody outside begins a connection to a container; the packets of guests, which stay on the bridge, are no matter.
NO_PUBLISHED_PORTS = "iptables -I DOCKER-USER -i xenbr0 ! -o xenbr0 -m conntrack --ctstate NEW -j DROP"


class Container:
    """A container on Docker's bridge, as far as packets can tell: a network namespace with a listener on port 80."""

    ADDRESS = "172.17.0.2"

    def __init__(self, host: Host):
        self.host = host
        self.process = host.popen("unshare", "--net", "sh", "-c", "echo $$; exec sleep infinity",
                                  stdout=subprocess.PIPE)
        self.pid = self.process.stdout.readline().strip()
        host.sh(f"""
            ip link add docker0 type bridge
            ip address add 172.17.0.1/16 dev docker0
            ip link add veth0 master docker0 type veth peer name eth0 netns {self.pid}
            ip link set docker0 up; ip link set veth0 up
            echo 1 > /proc/sys/net/ipv4/ip_forward
        """)
        self.sh(f"ip link set lo up; ip link set eth0 up; ip address add {self.ADDRESS}/16 dev eth0; "
                "ip route add default via 172.17.0.1")
        self.listener = host.popen("nsenter", f"--net=/proc/{self.pid}/ns/net", "nc", "-lk", "80",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.sh("until ss -Hltn | grep -q :80; do sleep 0.02; done")

    def sh(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.host.run("nsenter", f"--net=/proc/{self.pid}/ns/net", "sh", "-ec", script, check=check)

    def probe(self, address: str, port: int) -> str:
        done = self.sh(f"nc -zw 2 {address} {port}", check=False)
        return "filtered" if done.returncode else "open"

    def publish(self, port: int) -> None:
        """What ``docker run --publish PORT:80`` adds."""
        self.host.sh(f"""
            iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport {port} -j DNAT --to-destination {self.ADDRESS}:80
            iptables -A DOCKER -d {self.ADDRESS} ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
        """)

    def end(self) -> None:
        for process in (self.listener, self.process):
            process.kill()
            process.wait()
        self.process.stdout.close()


@pytest.fixture
def with_docker(make_lab, packet_filter: str):
    """The isolated network, with Docker's rules and a container on node-a."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter), bridge_nf=True)
    RULES["Docker"].load(lab["node-a"])
    container = Container(lab["node-a"])
    yield lab, container
    container.end()


def test_docker(with_docker, packet_filter):
    """Its ports pass by Domain-0's firewall, its start pushes ours back, and guests lose the wire to it."""
    lab, container = with_docker
    node, outsider = lab["node-a"], lab["outsider"]
    container.publish(8080)
    lab["node-b"].listen(8002)
    published = {"published port": lambda: outsider.probe("203.0.113.11", 8080)}
    to_the_nodes = {"container -> node-b": lambda: container.probe("192.168.1.2", 8002)}
    succeed(published | to_the_nodes, "Docker: ")

    apply(node, packet_filter, f"{ISOLATED}/firewall")
    apply(node, packet_filter, DOMAIN_0)
    succeed(published, "it is forwarded, and no input: ")
    fail(to_the_nodes, "ours come first: ")
    node.sh(NO_PUBLISHED_PORTS)
    fail(published, "with a rule in DOCKER-USER: ")

    # As a restart of Docker does: its jumps come first again.
    jumps = [line for line in node.run("iptables", "-S", "FORWARD").stdout.splitlines() if " -j DOCKER-" in line
             or "docker0" in line]
    node.sh("\n".join(f"iptables -D {jump[3:]}" for jump in jumps)
            + "\n" + "\n".join(f"iptables -I {jump[3:]}" for jump in reversed(jumps)))
    (fail if packet_filter == "nftables" else succeed)(to_the_nodes, "Docker was restarted: ")
    apply(node, packet_filter, f"{ISOLATED}/firewall")
    fail(to_the_nodes, "applied again: ")


def test_docker_and_the_guests_of_a_bridge(make_lab, packet_filter):
    """Bridged packets are passed to iptables: Docker's policy drops those of guests, and ours have no part in it."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter), bridge_nf=True)
    node = lab["node-a"]
    lab["outsider"].listen(80)
    guest = {"guest -> outsider": lambda: lab["guest-a"].probe("203.0.113.66", 80)}
    apply(node, packet_filter, f"{ISOLATED}/firewall")
    apply(node, packet_filter, DOMAIN_0)
    succeed(guest, "without Docker: ")
    RULES["Docker"].load(node)
    before = node.rules()
    assert verdicts(guest) == {"guest -> outsider": "filtered"}
    assert node.rules() == before, "a policy that was used is the same policy"
    for way in ("in", "out"):  # as Xen's script for a guest's card does
        node.sh(f"iptables -I FORWARD -m physdev --physdev-is-bridged --physdev-{way} vif1.0 -j ACCEPT")
    succeed(guest, "with Xen's own rules: ")
    for way in ("in", "out"):
        node.sh(f"iptables -D FORWARD -m physdev --physdev-is-bridged --physdev-{way} vif1.0 -j ACCEPT")
    node.sh(f"iptables -I DOCKER-USER -i xenbr0 -o xenbr0 -j ACCEPT; {NO_PUBLISHED_PORTS}")
    succeed(guest, "with rules in DOCKER-USER: ")


def test_firewalld_and_the_guests_of_a_bridge(make_lab):
    """With br_netfilter it refuses to forward what only crosses the bridge."""
    lab = make_lab(ISOLATED, bridge_nf=True)
    lab["outsider"].listen(80)
    guest = {"guest -> outsider": lambda: lab["guest-a"].probe("203.0.113.66", 80)}
    succeed(guest, "without firewalld: ")
    RULES["firewalld"].load(lab["node-a"])
    fail(guest, "with firewalld: ")
    lab["node-a"].sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    succeed(guest, "without br_netfilter: ")


def test_a_guest_takes_places_in_the_table_of_connections(make_lab, packet_filter):
    """In that of Domain-0, although it only crosses the bridge: where rules ask for it, until that is switched off."""
    lab = make_lab(ISOLATED, iptables_of(packet_filter), bridge_nf=True)
    node, guest = lab["node-a"], lab["guest-a"]

    def taken() -> int:
        node.run("conntrack", "-F")
        for address in ("203.0.113.66", "2001:db8:2::66"):
            guest.run("bash", "-c", f"for port in {{2001..2020}}; do echo >/dev/udp/{address}/$port; done", check=False)
            guest.probe(address, 80)  # comes behind them
        return int(node.run("conntrack", "-C").stdout)

    assert taken() == 0
    apply(node, packet_filter, DOMAIN_0)
    assert taken() >= 40
    settings = node.sh("sysctl net.bridge").stdout
    for family in ("ip", "ip6", "arp"):
        assert f"net.bridge.bridge-nf-call-{family}tables = 1" in settings
    node.run("bash", "-c", "sysctl -w net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0")
    assert taken() == 0


#: The pages, and the rules beside which their transcripts are run with nftables: those that take long, with one.
PAGES = [(page, rules) for page in ("considerations", f"scenarios/{ISOLATED}") for rules in RULES] + [
    ("scenarios/subnet-behind-a-firewall", "ufw"), ("scenarios/untrusted-subnet", "firewalld")]


@pytest.mark.parametrize(("name", "rules"), PAGES, ids=[" - ".join(case) for case in PAGES])
def test_the_pages_are_as_true_beside_the_rules_of_others(name, rules):
    """Line by line, on nodes that have them. The chapter's commands, which are of iptables, are left out, and
    exposure.py, which tells of the others' rules as well.

    With br_netfilter, but beside firewalld, which then refuses the guests' packets.
    """
    page = guide.pages()[name]
    commands = [command for command in itertools.takewhile(
        lambda command: "iptables" not in command.text, pages.all_commands(guide.blocks(page), "nftables"))
        if "exposure.py" not in command.text]
    bridge_nf = rules != "firewalld"
    skip.without_lab(namespaces.why_not(bridge_nf=bridge_nf) or hosts.why_not(page.metadata, "nftables", commands))
    with hosts.of_page(page.metadata, "nftables", bridge_nf) as lab:
        for host in lab.hosts.values():
            if host.described.role == "node":
                RULES[rules].load(host)
        assert session.run(lab, commands).failures == []
