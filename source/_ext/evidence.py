# SPDX-License-Identifier: MIT
"""Shows below each block what ran it, and tabulates all of them with the directive ``evidence``.

The tests leave what they ran in ``build/evidence.json``. A block that is not in it as it is now, together with all
that it depends on, shows as not run.
"""
from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata

from around_blocks import Below, put
from code_kinds import CodeBlock, placed_blocks
from tests.lab.filters import FILTERS
from tests.transcripts import evidence as kept
from tests.transcripts import page as pages
from tests.transcripts.evidence import Evidence, Session
from tests.transcripts.page import ON_XEN

LABEL = "evidence"
"""The label above the table."""
NOT_YET = "not run yet, as it stands here"
LONG = 60
"""Characters of a command that the table shows."""


@functools.cache
def evidence() -> Evidence:
    """What the last runs of the tests have left."""
    return kept.load()


@dataclass(frozen=True)
class Needed:
    """What has to have run for a block to count as run: kept on its node, as ``node["needed"]``.

    ``hashes`` are those of the block for each packet filter that its page runs it with, ``example`` is the file that
    it shows, if it shows one, ``tests`` are the tests that run it, if no page does.
    """

    page: str
    hashes: Mapping[str, str]
    example: Path | None
    tests: Sequence[str]

    def sessions(self) -> list[Session]:
        """The sessions that ran the block as it is now; none unless all did that have to."""
        if self.tests:
            return []
        if self.example:
            return evidence().of_example(self.example)
        found = [evidence().of(self.page, packet_filter, sha256) for packet_filter, sha256 in self.hashes.items()]
        return [] if None in found else found

    def tested(self) -> str:
        """The day on which its tests have passed as they are now, the first of several; empty where they have not."""
        days = [evidence().of_test(test) for test in self.tests]
        return min(days, default="") if all(days) else ""

    def remark(self) -> str:
        """What ran the block, in a line."""
        if tested := self.tested():
            return f"tested {day(tested)}"
        return remark(self.sessions())

    def seconds(self) -> float:
        """How long the slowest of them took for the block."""
        return max((block.seconds for session in self.sessions() for block in session.blocks
                    if block.sha256 == self.hashes.get(session.packet_filter)), default=0.0)


def mark_blocks(app: Sphinx, doctree: nodes.document) -> None:
    """Note what each block of a page that has been read needs."""
    page = app.env.docname
    topology = app.env.metadata[page].get("topology", "")
    placed = list(placed_blocks(doctree, topology))
    blocks = [block for _, block in placed]
    hashes: dict[int, dict[str, str]] = {}
    for packet_filter in pages.runs(blocks):
        for block, sha256 in kept.hashes(blocks, app.env.metadata[page], packet_filter):
            hashes.setdefault(id(block), {})[packet_filter] = sha256
    for path in kept.surroundings() if hashes else ():
        app.env.note_dependency(str(path))
    for node, block in placed:
        if block.kind not in ("example", "transcript", "tested"):
            continue
        node["needed"] = Needed(page, hashes.get(id(block), {}), block.example, block.tests or kept.tests_of(block))


def remark(found: Sequence[Session]) -> str:
    """What ran a block, in a line: ``run on Linux 6.12, nftables 1.1.3, 23 Nov 2026``, or ``run on Xen …``."""
    if not found:
        return NOT_YET
    # Of several runs the oldest: before that, not all of them had been.
    first = min(found, key=lambda session: session.date)
    plain = [session for session in found if session.packet_filter not in ON_XEN]
    kernel = [f"Linux {short(min(plain, key=lambda session: session.date).versions['Linux'])}"] if plain else []
    return f"run on {', '.join([*kernel, *with_versions(found)])}, {day(first.date)}"


def with_versions(found: Sequence[Session]) -> Iterator[str]:
    """The packet filters of some sessions, with their versions, and each Xen with that of its kernel."""
    versions = {session.packet_filter or "nftables": session.versions for session in found
                if session.packet_filter not in ON_XEN}
    if "nftables" in versions:
        yield f"nftables {versions['nftables']['nftables']}"
    back_ends = [name for name in FILTERS if name in versions and name != "nftables"]
    if back_ends:
        names = " and ".join(name.removeprefix("iptables-") for name in back_ends)
        yield f"iptables {versions[back_ends[0]]['iptables'].split()[0]} ({names})"
    for session in found:
        if session.packet_filter in ON_XEN:
            yield f"Xen {session.versions['Xen']} with Linux {short(session.versions['Linux'])}"


def day(text: str) -> str:
    """A date as a reader writes it: ``23 Nov 2026`` for ``2026-11-23``."""
    when = date.fromisoformat(text)
    return f"{when.day} {when:%b %Y}"


def short(release: str) -> str:
    """A kernel's version without what its distribution adds: ``6.12`` of ``6.12.48-amd64``."""
    match = re.match(r"\d+\.\d+", release)
    return match[0] if match else release


def show_lines(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the quiet line below each block, with a link to the table where there are links."""
    for block in [block for block in doctree.findall(nodes.literal_block) if "needed" in block]:
        line = nodes.inline("", block["needed"].remark(), classes=["evidence"])
        target = app.env.domains.standard_domain.labels.get(LABEL)
        if target and app.builder.format == "html":
            line = make_refnode(app.builder, page, target[0], target[1], line)
        put(app, Below, block, line, "evidence")


class EvidenceTable(SphinxDirective):
    """Tabulates every block and every command within a sentence, page by page, and what ran it."""

    def run(self) -> list[nodes.Node]:
        return [Table(page=self.env.docname)]


class Table(nodes.General, nodes.Element):
    """The place of the table, until all pages have been read."""


def show_tables(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the table: for each page what stands on it, what ran that, and for how long.

    It is too long for paper and too wide for a terminal: the formats for these say where it is.
    """
    for place in list(doctree.findall(Table)):
        if app.builder.format == "html":
            place.replace_self(list(TableOfAll(app.builder, place["page"]).pages()))
        else:
            place.replace_self(nodes.paragraph(
                "", "", nodes.Text("The table of all of them is long. It is in the HTML of this guide, on this page: "),
                nodes.literal("", f"{app.config.html_baseurl}{place['page']}.html"), nodes.Text(".")))


class TableOfAll:
    """The table as nodes; ``here`` is the page that it is on."""

    def __init__(self, builder: Builder, here: str):
        self.builder, self.here = builder, here
        env = builder.env
        self.blocks = {page: list(placed_blocks(env.get_doctree(page), env.metadata[page].get("topology", "")))
                       for page in sorted(env.found_docs)}
        self.run_by = {simple: node["needed"] for blocks in self.blocks.values() for node, block in blocks
                       if block.kind == "transcript" for simple in pages.simple_commands_of(block)}

    def pages(self) -> Iterator[nodes.Node]:
        """The part of each page that has anything to show: its title, and a row for each block."""
        for page, blocks in self.blocks.items():
            if not blocks:
                continue
            yield nodes.paragraph("", "", nodes.strong("", self.builder.env.titles[page].astext()))
            rows = [(node, block, *self._what(node, block)) for node, block in blocks]
            group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (52, 36, 12)), cols=3)
            group += nodes.thead("", _row(map(nodes.Text, ("Command or file", "Run with", "Seconds"))))
            group += nodes.tbody("", *(
                _row((self._link(node, block, page), nodes.Text(what), nodes.Text(seconds)))
                for node, block, what, seconds in rows))
            yield nodes.table("", group, classes=["colwidths-given", "evidence"])

    def _link(self, node: nodes.Element, block: CodeBlock, page: str) -> nodes.Node:
        section = node
        while not isinstance(section, nodes.section):
            section = section.parent
        return make_refnode(self.builder, self.here, page, section["ids"][0], nodes.literal("", first_line(block)))

    def _what(self, node: nodes.Element, block: CodeBlock) -> tuple[str, str]:
        """What ran a block, and how many seconds it took."""
        if block.kind == "not-run":
            return f"not run: {block.reason}", ""
        needed: Needed | None = node.get("needed")
        if block.kind == "mention":
            needed = self.run_by.get(pages.simple_commands(block.text)[0])
        if needed and (tested := needed.tested()):
            return f"{', '.join(needed.tests)}, {day(tested)}", ""
        if not needed or not (found := needed.sessions()):
            return NOT_YET, ""
        what = f"{', '.join(with_versions(found))}, {day(min(session.date for session in found))}"
        return what, f"{needed.seconds():.2f}" if needed.hashes else ""


def first_line(block: CodeBlock) -> str:
    """The file that a block shows, or the beginning of its text."""
    if block.example:
        return str(block.example.relative_to(kept.EXAMPLES))
    text = block.text.splitlines()[0]
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def _row(cells: Iterable[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def note_evidence(app: Sphinx, config: Config) -> None:
    """Have HTML pages written again when there is other evidence; the other formats always are."""
    config.evidence = hashlib.sha256(kept.FILE.read_bytes() if kept.FILE.exists() else b"").hexdigest()
    evidence.cache_clear()


def page_of_the_table(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str],
                      removed: set[str]) -> list[str]:
    """The table is about all pages, so its page is made again when any other is."""
    target = env.domains.standard_domain.labels.get(LABEL)
    return [target[0]] if target and target[0] not in removed and added | changed | removed else []


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("evidence", "", "html")
    app.add_node(Table)
    app.add_directive("evidence", EvidenceTable)
    app.connect("config-inited", note_evidence)
    app.connect("doctree-read", mark_blocks)
    app.connect("env-get-outdated", page_of_the_table)
    app.connect("doctree-resolved", show_lines)
    app.connect("doctree-resolved", show_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
