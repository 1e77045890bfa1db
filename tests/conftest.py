# SPDX-License-Identifier: MIT
"""What all tests share: the lab, and what a skip means."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests import guide
from tests.lab import namespaces, skip
from tests.lab.filters import FILTERS, iptables_of
from tests.lab.measured import Measured
from tests.lab.namespaces import Lab
from tests.transcripts.plugin import KeepEvidence


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", metavar="FILE", help="of the transcripts, run those of this page: source/….md")


def pytest_configure(config: pytest.Config) -> None:
    """Workers send their reports to the first process, which alone keeps the evidence."""
    if hasattr(config, "workerinput"):
        return
    option = config.option
    if option.page:
        try:
            guide.chosen([option.page])
        except LookupError as error:
            raise pytest.UsageError(str(error)) from error
    some = option.keyword or option.markexpr or option.page or config.getoption("lf", False)
    config.pluginmanager.register(KeepEvidence(
        not some and config.args_source == pytest.Config.ArgsSource.TESTPATHS,
        not some and [arg.rstrip("/") for arg in option.file_or_dir] == ["tests/xen"]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """With CI=true nothing may be left out: a skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, which with CI=true is a failure: {report.longrepr[2]}"
    return report


@pytest.fixture(params=FILTERS)
def packet_filter(request: pytest.FixtureRequest) -> str:
    """Each packet filter in turn."""
    return request.param


@pytest.fixture(params=[False, True], ids=["bridge-nf-off", "bridge-nf-on"])
def bridge_nf(request: pytest.FixtureRequest) -> bool:
    """Whether bridged packets pass through iptables, off and on."""
    return request.param


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Start labs that end with the test; takes what :class:`Lab` takes."""
    with ExitStack() as stack:
        def make(scenario: str, iptables: str = "iptables-nft", bridge_nf: bool = False) -> Lab:
            skip.without_lab(namespaces.why_not(iptables, bridge_nf))
            return stack.enter_context(Lab(scenario, iptables, bridge_nf))
        yield make


@pytest.fixture
def start(make_lab, packet_filter: str, bridge_nf: bool) -> Callable[[str], Lab]:
    """Start a scenario's lab for the packet filter and the bridge setting in turn."""
    return lambda scenario: make_lab(scenario, iptables_of(packet_filter), bridge_nf)


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    """The network in which the real xend was measured, one for all tests of a worker."""
    skip.without_lab(namespaces.why_not() or Measured.why_not())
    with Measured() as lab:
        yield lab
