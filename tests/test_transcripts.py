# SPDX-License-Identifier: MIT
"""Every transcript of the guide, run on the hosts of its page's topology; tests/transcripts has the rules."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from code_kinds import PROGRAMS
from tests import guide
from tests.transcripts import page as pages
from tests.transcripts.cases import parametrize, run_page


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, on_xen=False)


def test_page(case: tuple[str, str], record_property: Callable[[str, object], None]):
    """A page is one test, because its commands build on each other."""
    run_page(case, record_property)


def test_no_transcript_is_left_out():
    """A block in tabs of both packet filters, one in the other, would run for neither."""
    blocks = [(guide.blocks(page), block) for page in guide.pages().values() for block in guide.blocks(page)
              if block.kind == "transcript"]
    assert blocks
    assert [pages.where(block) for all_blocks, block in blocks if not pages.filters_of(all_blocks, block)] == []


def test_every_program_of_a_transcript_is_known():
    """So that its name and arguments within a sentence are seen to be a command."""
    first = {simple.split(" ")[0] for page in guide.pages().values() for block in guide.blocks(page)
             if block.kind == "transcript" for simple in pages.simple_commands_of(block)}
    assert first - PROGRAMS == set()
