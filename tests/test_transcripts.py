# SPDX-License-Identifier: MIT
"""Every transcript of the guide, run on the hosts of its page's topology; tests/transcripts has the rules."""
from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from source._ext.code_kinds import PROGRAMS
from tests import guide
from tests.lab import skip, versions
from tests.transcripts import evidence, hosts, plugin, session
from tests.transcripts import page as pages
from tests.transcripts.evidence import Block, Session


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        page = metafunc.config.getoption("--page")
        chosen = guide.chosen([page] if page else [])
        cases = evidence.cases({page.name: guide.blocks(page) for page in chosen})
        metafunc.parametrize("case", [pytest.param(case, id="-".join(filter(None, case))) for case in cases])


def test_page(case: tuple[str, str], record_property: Callable[[str, object], None]):
    """A page is one test, because its commands build on each other."""
    page, packet_filter = guide.pages()[case[0]], case[1]
    record_property(plugin.CASE, list(case))
    blocks = guide.blocks(page)
    try:
        commands = [command for block in pages.transcripts(blocks, packet_filter)
                    for command in pages.commands(block)]
    except pages.PageError as error:
        pytest.fail(str(error), pytrace=False)
    skip.without_lab(hosts.why_not(page.metadata, packet_filter, commands))
    with hosts.of_page(page.metadata, packet_filter) as lab:
        found = versions.of(next(iter(lab.hosts.values())))
        result = session.run(lab, commands)
    if result.failures:
        pytest.fail("\n\n".join(result.failures), pytrace=False)
    hashes = list(evidence.hashes(blocks, page.metadata["topology"], packet_filter))
    ran = Session(
        *case, date.today().isoformat(), found,
        [Block(pages.where(block), sha256, sum(
            seconds for command, seconds in zip(commands, result.seconds, strict=True) if command.block is block))
         for block, sha256 in hashes],
        {str(path.relative_to(evidence.EXAMPLES)): evidence.hash_of_file(path)
         for block, _ in hashes for path in evidence.examples_of(block)})
    record_property(*plugin.property_of(ran))


def test_no_transcript_is_left_out():
    """A block in tabs of both packet filters, one in the other, would run for neither."""
    blocks = [(guide.blocks(page), block) for page in guide.pages().values() for block in guide.blocks(page)
              if block.kind == "transcript"]
    assert blocks
    assert [pages.where(block) for all_blocks, block in blocks if not evidence.filters_of(all_blocks, block)] == []


def test_every_program_of_a_transcript_is_known():
    """So that its name and arguments within a sentence are seen to be a command."""
    first = {simple.split(" ")[0] for page in guide.pages().values() for block in guide.blocks(page)
             if block.kind == "transcript" for command in pages.commands(block)
             for simple in evidence.simple_commands(command.text)}
    assert first - PROGRAMS == set()
