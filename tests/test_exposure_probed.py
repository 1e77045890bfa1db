# SPDX-License-Identifier: MIT
"""exposure.py never contradicts the kernel: random rules are loaded, and real connections come from many addresses."""
from __future__ import annotations

import ipaddress
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import exposure
from tests import random_rules
from tests.lab import namespaces, skip, topology
from tests.lab.as_they_are import RULES
from tests.lab.as_they_are_more import MORE_RULES
from tests.lab.many_sources import ENTRANCES, PORTS, ManySources

#: How many rule sets each test draws, and addresses that each port of each entrance is tried from.
EXAMPLES = 50
SOURCES = 28

#: Takes away all rules and forgets all connections, so that each is a new one; loads rules.
LOAD = """
nft flush ruleset
conntrack --flush 2>/dev/null
for family in iptables ip6tables; do xtables-legacy-multi $family-restore </run/empty; done
%s
"""
#: Prints what a capture has of the rules.
LIST = """
nft -j list ruleset
for name in iptables-legacy ip6tables-legacy iptables-nft ip6tables-nft; do
  echo "=== $name-save"; $name-save
done
"""
BUILT_IN = {"raw": "PREROUTING OUTPUT", "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
            "filter": "INPUT FORWARD OUTPUT"}
EMPTY = "".join("\n".join([f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains.split()), "COMMIT", ""])
                for table, chains in BUILT_IN.items())


class Probed:
    """A node on which rules are loaded and judged, and tried from outside."""

    def __init__(self, lab: ManySources) -> None:
        self.lab, self.node = lab, lab["node-a"]
        self.tried: Counter[str] = Counter()
        #: Of source ports, which are not to be the same ones again with the next rules.
        self.ports = random.Random(1)
        self.node.ask(do="write", path="/run/empty", text=EMPTY)
        self.node.run("sh", "-c", "cd /run/examples && python3 domain-0/exposure.py --capture /run/capture")
        self.fixed = {name: self.node.run("cat", f"/run/capture/{name}").stdout
                      for name in self.node.run("ls", "/run/capture").stdout.split()}

    def load(self, command: str, text: str = "") -> bool:
        """Load rules with a command; whether that went well."""
        done = self.node.run("sh", "-euc", LOAD % command, input=text, check=False)
        self.tried["not loaded" if done.returncode else "loaded"] += 1
        return not done.returncode

    def judge(self) -> exposure.Judge:
        """Judge what is in force."""
        nft, *saved = self.node.sh(LIST).stdout.split("=== ")
        return exposure.Judge(self.fixed | {"nft.json": nft} | dict(part.split("\n", 1) for part in saved))

    def compare(self, seed: int, what: str, doubts: float = 0) -> None:
        """Try from many addresses, at the edges of what the answers tell apart and elsewhere; see that all agree.

        Of all addresses, such a share may be in doubt.
        """
        judge = self.judge()
        chance = random.Random(seed)
        tries, expected = [], []
        begins = sorted({sport for sport, _ in judge.filter.choices})
        classes = list(zip(begins, [*begins[1:], 65536]))
        for (name, family), address in ENTRANCES.items():
            interface = judge.host.interfaces[name]
            for port in PORTS:
                answer = judge.arrive(family, interface, None, exposure.address(address, family), port)
                assert exposure.size(answer.perhaps) <= doubts * exposure.END[family], f"{what}\n{answer.whys}"
                for source in self.sources(chance, family, answer, address):
                    said = exposure.contains(answer.open, exposure.address(source, family))
                    # Never the same port again: rules may have kept an end of a connection from the node, which then
                    # still knows of it.
                    tries += [(source, self.ports.randrange(*each) if len(classes) > 1 else 0, address, port)
                              for each in classes]
                    expected.append((source, address, port, said))
        letters = self.lab.connect(tries)
        for at, (source, address, port, said) in enumerate(expected):
            mine = slice(at * len(classes), (at + 1) * len(classes))
            # A busy processor loses packets, and then a client asks again.
            got = "o" in letters[mine] or said and "o" in self.lab.connect(tries[mine])
            self.tried["open" if got else "closed"] += 1
            assert got == said, (f"{source} to {address} port {port}: said to be {'open' if said else 'closed'}, "
                                 f"and is not\n{what}")

    @staticmethod
    def sources(chance: random.Random, family: int, answer: exposure.Answer, address: str) -> set[str]:
        """Addresses to try from: no connection comes from those that are left out."""
        bounds = [bound + step for bound in answer.open for step in (-1, 0, 1)]
        near = [int(ipaddress.ip_address(base)) + chance.randrange(-2, 74)
                for base in random_rules.BASES[family] for _ in range(4)]
        near = [each for each in near if not exposure.contains(answer.perhaps, each)]
        bounds = [each for each in bounds if not exposure.contains(answer.perhaps, each)]
        some = chance.sample(bounds, min(len(bounds), SOURCES // 2)) + chance.sample(near, min(len(near), SOURCES // 2))
        return {str(each) for each in map(ipaddress.ip_address, (n for n in some if 0 < n < exposure.END[family]))
                if each.version == family and usable(each)}


def usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a connection may come from an address: not from this host itself, nor from what is no host's."""
    if str(address) in ENTRANCES.values() or address.is_multicast or address.is_loopback or address.is_unspecified:
        return False
    if address.version == 6:
        return not address.is_link_local and address.ipv4_mapped is None and int(address) >> 96 != 0
    return int(address) >> 24 != 0 and address not in map(ipaddress.ip_address, (
        "255.255.255.255", "203.0.113.0", "203.0.113.255", "192.168.1.0", "192.168.1.255"))


@pytest.fixture(scope="module")
def probed() -> Iterator[Probed]:
    skip.without_lab(namespaces.why_not() or namespaces.why_not("iptables-legacy"))
    with ManySources() as lab:
        yield Probed(lab)


#: Always the same ones: a failure is found again, and no run is luckier than another.
ALWAYS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", ["nftables", *namespaces.BACK_ENDS])
def test_no_answer_contradicts_the_kernel(probed: Probed, kind: str):
    """And none is in doubt, since the rules are made of what exposure.py says it knows."""
    tried = probed.tried = Counter()
    if kind == "nftables":
        @ALWAYS
        @given(rules=random_rules.nftables(), seed=st.integers(0, 1000))
        def compare(rules: str, seed: int) -> None:
            assume(probed.load("nft -f -", rules))  # nft refuses some mixtures, such as two protocols in one rule
            probed.compare(seed, rules)
    else:
        multi = namespaces.BACK_ENDS[kind]
        command = f"{multi} iptables-restore\n{multi} ip6tables-restore </run/six"

        @ALWAYS
        @given(four=random_rules.iptables(4), six=random_rules.iptables(6), seed=st.integers(0, 1000))
        def compare(four: str, six: str, seed: int) -> None:
            probed.node.ask(do="write", path="/run/six", text=six)
            assume(probed.load(command, four))
            probed.compare(seed, four + six)
    compare()
    # Three times that is more than 20,000.
    assert tried["open"] + tried["closed"] > 7_000 and min(tried["open"], tried["closed"]) > 1_000, tried
    assert tried["not loaded"] < tried["loaded"] / 4, tried


@pytest.mark.parametrize("name", [*RULES, *MORE_RULES])
def test_rules_as_people_have_them(probed: Probed, name: str):
    """At most one address in twenty is in doubt."""
    assert probed.load("true")
    (RULES | MORE_RULES)[name].load(probed.node)
    probed.compare(1, name, doubts=0.05)


@pytest.mark.parametrize("scenario", ["isolated-management-network", "subnet-behind-a-firewall", "untrusted-subnet"])
def test_the_examples_together(probed: Probed, scenario: str):
    """Domain-0's firewall beside a scenario's rules: marks go from one table to the other."""
    assert probed.load("true")
    for each in ("domain-0/firewall", f"{scenario}/firewall", f"{scenario}/ssh"):
        # This node has a card where the scenario's has a bridge.
        text = (topology.EXAMPLES / f"{each}.nft").read_text().replace("xenbr0", "eth0")
        probed.node.run("nft", "-f", "-", input=text)
    probed.compare(2, scenario)


def at(hook: str, priority: int, *rules: str, policy: str = "accept") -> str:
    """A table with one base chain."""
    return "\n".join([f"table inet at_{hook}_{abs(priority)} {{", "chain c {",
                      f"type filter hook {hook} priority {priority}; policy {policy};", *rules, "}", "}", ""])


#: What is seldom drawn: there is no connection yet in the raw chains, or never one.
CORNERS = {
    "a connection mark before there is a connection": at("prerouting", -300, "ct mark set 7") + at(
        "input", 0, "ct mark 7 drop"),
    "a direction before there is a connection": at("prerouting", -300, "ct direction != reply drop"),
    "a connection mark of nothing": at("prerouting", -300, "notrack") + at(
        "input", 0, "meta mark set ct mark accept", policy="drop"),
    "a state before there is a connection": at("prerouting", -300, "ct state invalid ip saddr 10.1.0.0/16 drop"),
    "no way in by an interface": at("output", 0, 'iifname != "eth0" ip daddr 10.1.0.0/16 drop'),
    "no way out by an interface": at("input", 0, 'oifname != "eth0" ip saddr 10.1.0.0/16 drop'),
    "an answer that is kept": at("output", 0, "ct state established ip6 daddr 2001:db8:a::/48 drop"),
    "of two families": at("input", 0, "ip saddr != 10.1.0.0/16 drop"),
    "a refusal for one family": at("input", 0, "reject with icmp type admin-prohibited"),
    "a change for one family": at("input", 0, "ip dscp set cs1 drop"),
    "the rest of a map for one family": at("input", 0, "ip saddr vmap { 10.1.0.0/16 : accept, * : drop }"),
    "continue goes on in the rule": at("input", 0, "tcp dport vmap { 22 : continue, 80 : drop } accept", policy="drop"),
    "all of a state": at("input", 0, "ct state != new,established drop"),
    "an answer to the port that was chosen": at("output", 0, "tcp dport 1024-65535 accept", policy="drop"),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(probed: Probed, name: str):
    """Each load has hundreds of tries, with no answer in doubt."""
    assert probed.load("nft -f -", CORNERS[name])
    probed.compare(3, CORNERS[name])
