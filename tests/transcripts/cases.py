# SPDX-License-Identifier: MIT
"""Pages as tests of pytest: a page with one packet filter, or on one Xen, is a case."""
from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from tests import guide
from tests.lab import skip, versions
from tests.transcripts import evidence, hosts, plugin, session
from tests.transcripts import page as pages
from tests.transcripts.evidence import Block, Session


def parametrize(metafunc: pytest.Metafunc, on_xen: bool) -> None:
    """Give a test of pages its cases: those on real Xen nodes, or the others."""
    if "case" in metafunc.fixturenames:
        page = metafunc.config.getoption("--page")
        chosen = guide.chosen([page] if page else [])
        cases = [case for case in pages.cases({page.name: guide.blocks(page) for page in chosen})
                 if (case[1] in pages.ON_XEN) == on_xen]
        metafunc.parametrize("case", [pytest.param(case, id="-".join(filter(None, case))) for case in cases])


def run_page(case: tuple[str, str], record_property: Callable[[str, object], None]) -> None:
    """Run a case; fails with all that was not as the page says."""
    page, packet_filter = guide.pages()[case[0]], case[1]
    record_property(plugin.CASE, list(case))
    blocks = guide.blocks(page)
    try:
        hosts.check(page.file, page.metadata)
        commands = pages.all_commands(blocks, packet_filter)
    except pages.PageError as error:
        pytest.fail(str(error), pytrace=False)
    skip.without_lab(hosts.why_not(page.metadata, packet_filter, commands))
    with hosts.of_page(page.metadata, packet_filter) as lab:
        found = versions.of(next(iter(lab.hosts.values())))
        result = session.run(lab, commands, hosts.limit(packet_filter))
    if result.failures:
        pytest.fail("\n\n".join(result.failures), pytrace=False)
    hashes = list(evidence.hashes(blocks, page.metadata, packet_filter))
    ran = Session(
        *case, date.today().isoformat(), found,
        [Block(pages.where(block), sha256, sum(
            seconds for command, seconds in zip(commands, result.seconds, strict=True) if command.block is block))
         for block, sha256 in hashes],
        {str(path.relative_to(evidence.EXAMPLES)): evidence.hash_of_file(path)
         for block, _ in hashes for path in evidence.examples_of(block)})
    record_property(*plugin.property_of(ran))
