# SPDX-License-Identifier: MIT
"""Every transcript of the guide, run on the hosts of its page's topology; tests/transcripts has the rules."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from source._ext.code_kinds import CodeBlock, code_blocks
from tests import guide
from tests.lab import sshd, wireguard
from tests.lab.filters import FILTERS, iptables_of
from tests.transcripts import page as pages
from tests.transcripts import session

#: What the front matter of a page may ask for, and why this machine has none.
NEEDS = {"wireguard": wireguard.why_not}


def blocks(page: guide.Page) -> list[CodeBlock]:
    return list(code_blocks(page.doctree, page.metadata.get("topology", "")))


def cases() -> Iterator[tuple[guide.Page, str]]:
    """Each page that has transcripts with each packet filter that it offers, or with none."""
    for page in guide.pages().values():
        if pages.transcripts(blocks(page)):
            for packet_filter in pages.filters(blocks(page)) or [""]:
                yield page, packet_filter


@pytest.mark.parametrize(("page", "packet_filter"), [
    pytest.param(page, packet_filter, id="-".join(filter(None, [page.name, packet_filter])))
    for page, packet_filter in cases()
])
def test_page(make_lab, page: guide.Page, packet_filter: str):
    """A page is one test, because its commands build on each other."""
    try:
        commands = [command for block in pages.transcripts(blocks(page), packet_filter)
                    for command in pages.commands(block)]
    except pages.PageError as error:
        pytest.fail(str(error), pytrace=False)
    lab = make_lab(page.metadata["topology"], iptables_of(packet_filter or FILTERS[0]))
    for what in page.metadata.get("needs", "").split():
        if reason := NEEDS[what]():
            pytest.skip(reason)
    for name in page.metadata.get("sshd", "").split():
        if reason := sshd.why_not():
            pytest.skip(reason)
        sshd.prepare(lab[name])
        sshd.start(lab[name])
    if failures := session.run(lab, commands):
        pytest.fail("\n\n".join(failures), pytrace=False)


def test_no_transcript_is_left_out():
    """A block in tabs of both packet filters, one in the other, would run for neither."""
    run = {block.where for page, packet_filter in cases()
           for block in pages.transcripts(blocks(page), packet_filter)}
    on_the_pages = {block.where for page in guide.pages().values() for block in blocks(page)
                    if block.kind == "transcript"}
    assert run == on_the_pages
    assert on_the_pages
