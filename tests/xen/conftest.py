# SPDX-License-Identifier: MIT
"""What the tests on real Xen nodes share. Each ends in time, and one that fails shows the nodes' consoles."""
from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

import pytest

from tests.lab import skip
from tests.lab.hypervisor import cluster
from tests.lab.hypervisor.cluster import Cluster
from tests.lab.hypervisor.packages import RELEASES

#: Seconds after which a test counts as hung, the start of its nodes included.
LIMIT = 600
CLUSTERS = pytest.StashKey[list[Cluster]]()


class Hung(RuntimeError):
    """A test has not come to its end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that at the end no worker waits for another."""
    items.sort(key=lambda item: item.path.name != "test_reboot.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End a test that hangs: wherever it waits, an alarm raises."""
    def hung(*_: object) -> None:
        raise Hung(f"not at its end after {LIMIT} s")
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(LIMIT)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Add the consoles of all nodes to the report of a failure."""
    report = yield
    if report.failed:
        report.sections += [("consoles", lab.consoles()) for lab in item.stash.get(CLUSTERS, [])]
    return report


@pytest.fixture(params=RELEASES)
def xen(request: pytest.FixtureRequest) -> str:
    """Each version of Xen in turn."""
    return request.param


def tell(request: pytest.FixtureRequest, line: str) -> None:
    """Show how far a test is, from whichever process it runs in."""
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"    {line}", file=sys.stderr, flush=True)


@pytest.fixture
def start_cluster(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """Start clusters that end with the test; takes what :class:`Cluster` takes, and another class of them."""
    say = partial(tell, request)
    with ExitStack() as stack:
        def make(scenario: str, xen: str | Mapping[str, str], kind: type[Cluster] = Cluster, **options) -> Cluster:
            skip.without_lab(cluster.why_not())
            lab = kind(scenario, xen, say=say, **options)
            request.node.stash.setdefault(CLUSTERS, []).append(lab)
            stack.enter_context(lab)
            say(f"{len(lab.nodes)} nodes with {xen}: {'booted' if lab.cold else 'restored'} and set up in "
                f"{lab.seconds:.1f} s")
            return lab
        yield make
    # pytest keeps what it knows of a test to its own end, and each cluster has many open files.
    request.node.stash.setdefault(CLUSTERS, []).clear()


@pytest.fixture(autouse=True)
def how_long(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing but the time of a test, for who waits."""
    began = time.monotonic()
    yield
    tell(request, f"{request.node.name}: {time.monotonic() - began:.0f} s")
