# SPDX-License-Identifier: MIT
"""The cycle that every example passes, on one topology in one test."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.lab.filters import apply, undo
from tests.lab.namespaces import Host, Lab

RELOCATION_PORT = 8002
#: What a probe says when it got what it wanted.
SUCCESS = {"open", "ready"}
Probes = dict[str, Callable[[], str]]


def probes(lab: Lab, names: Iterable[str], targets: Iterable[str], *ports: int) -> Probes:
    """Probes by each of these hosts of each address at each port, or at the relocation port."""
    return {f"{name} -> {target} {port}": (lambda name=name, target=target, port=port: lab[name].probe(target, port))
            for name in names for target in targets for port in ports or (RELOCATION_PORT,)}


def verdicts(probes: Probes) -> dict[str, str]:
    """Run the probes, at the same time; what each said, by its name."""
    with ThreadPoolExecutor(max_workers=64) as pool:
        said = {name: pool.submit(probe) for name, probe in probes.items()}
        return {name: future.result() for name, future in said.items()}


def succeed(probes: Probes, when: str = "") -> None:
    """Every probe gets what it wants."""
    wrong = {name: said for name, said in verdicts(probes).items() if said not in SUCCESS}
    assert not wrong, f"{when}should succeed, and did not: {wrong}"


def fail(probes: Probes, when: str = "") -> None:
    """No probe gets what it wants."""
    wrong = {name: said for name, said in verdicts(probes).items() if said in SUCCESS}
    assert not wrong, f"{when}should fail, and did not: {wrong}"


def assert_cycle(hosts: Iterable[Host], apply: Callable[[], None], undo: Callable[[], None],
                 attacks: Probes, wanted: Probes) -> None:
    """Without the example the attacks work; with it they fail and the wanted traffic
    works, applied once or twice; undone, rules and behaviour are as before."""
    hosts = list(hosts)
    before = [host.rules() for host in hosts]
    succeed(attacks | wanted, "without the rules: ")

    apply()
    applied = [host.rules() for host in hosts]
    assert applied != before
    fail(attacks, "with the rules: ")
    succeed(wanted, "with the rules: ")

    apply()
    assert [host.rules() for host in hosts] == applied, "applying twice is not the same as once"
    fail(attacks, "applied twice: ")
    succeed(wanted, "applied twice: ")

    undo()
    assert [host.rules() for host in hosts] == before, "undone, the rules are not as before"
    succeed(attacks | wanted, "undone: ")


def assert_no_open_moment(lab: Lab, packet_filter: str, name: str, target: str, port: int) -> None:
    """While the outsider connects again and again to an address of node-a, nothing gets in from the first apply of the
    rules called ``name`` to their undo."""
    node, outsider = lab["node-a"], lab["outsider"]
    node.listen(port)
    apply(node, packet_filter, name)
    with outsider.hammering(target, port) as result:
        for _ in range(5):
            apply(node, packet_filter, name)
    assert result["tries"] > 100 and result["open"] == 0, result
    undo(node, packet_filter, name)
    with outsider.hammering(target, port) as result:
        node.run("true")
    assert result["open"] > 0, result
