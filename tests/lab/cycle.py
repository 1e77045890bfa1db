# SPDX-License-Identifier: MIT
"""The cycle that every example passes, on one topology in one test."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.lab.namespaces import Host

#: What a probe says when it got what it wanted.
SUCCESS = {"open", "ready"}
Probes = dict[str, Callable[[], str]]


def verdicts(probes: Probes) -> dict[str, str]:
    """Run the probes, at the same time; what each said, by its name."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        said = {name: pool.submit(probe) for name, probe in probes.items()}
        return {name: future.result() for name, future in said.items()}


def succeed(probes: Probes) -> None:
    """Every probe gets what it wants."""
    said = verdicts(probes)
    assert set(said.values()) <= SUCCESS, f"these should succeed: {said}"


def fail(probes: Probes) -> None:
    """No probe gets what it wants."""
    said = verdicts(probes)
    assert not set(said.values()) & SUCCESS, f"none of these should succeed: {said}"


def assert_cycle(hosts: Iterable[Host], apply: Callable[[], None], undo: Callable[[], None],
                 attacks: Probes, wanted: Probes) -> None:
    """Without the example the attacks work; with it they fail and the wanted traffic
    works, applied once or twice; undone, rules and behaviour are as before."""
    hosts = list(hosts)
    before = [host.rules() for host in hosts]
    succeed(attacks)
    succeed(wanted)

    apply()
    applied = [host.rules() for host in hosts]
    assert applied != before
    fail(attacks)
    succeed(wanted)

    apply()
    assert [host.rules() for host in hosts] == applied, "applying twice is not the same as once"
    fail(attacks)
    succeed(wanted)

    undo()
    assert [host.rules() for host in hosts] == before, "undone, the rules are not as before"
    succeed(attacks)
    succeed(wanted)
