# SPDX-License-Identifier: MIT
"""Every code block of the guide is shown from a tested example, run as transcript or doctest, or marked."""
from __future__ import annotations

from pathlib import Path

import pytest
from docutils import nodes

from code_kinds import CodeBlock, code_blocks
from tests import guide


def blocks(pages: dict[str, guide.Page]) -> list[CodeBlock]:
    return [block for page in pages.values()
            for block in code_blocks(page.doctree, page.metadata.get("topology", ""))]


def unknown(pages: dict[str, guide.Page]) -> list[str]:
    return [f"{block.where}: {block.language}: {block.text.splitlines()[0]}"
            for block in blocks(pages) if not block.kind]


def test_every_block_of_the_guide_is_of_a_known_kind():
    found = unknown(guide.pages())
    assert not found, "\n".join(["neither example, transcript, doctest nor marked as not run:", *found])


def test_every_topology_named_by_a_page_exists():
    named = {page.metadata["topology"] for page in guide.pages().values() if "topology" in page.metadata}
    known = {file.parent.name for file in guide.ROOT.glob("examples/*/topology.toml")}
    assert named and named - known == set()


def test_the_reasons_why_blocks_are_not_run_are_those_that_the_guide_lists():
    here = section(guide.pages()["reference/how-this-guide-is-tested"], "not-run")
    listed = [term.astext() for term in here.findall(nodes.term)]
    assert len(listed) == 7, "a new reason is a decision: what no lab can run"
    assert {block.reason for block in blocks(guide.pages()) if block.kind == "not-run"} == set(listed)


def test_every_example_is_shown_on_a_page():
    """What no page shows is read by nobody, and nobody checks it."""
    shown = {block.example for block in blocks(guide.pages()) if block.kind == "example"}
    examples = guide.ROOT / "examples"
    files = {path for path in examples.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert files - shown == {*examples.glob("*/topology.toml"), examples / "LICENSE"}


def section(page: guide.Page, label: str) -> nodes.section:
    """The section of a page that has this label."""
    return next(node for node in page.doctree.findall(nodes.section) if label in node["ids"])


KNOWN = {
    "transcript": "```console\nroot@node-a# nft list ruleset\n```\n",
    "doctest": "```python\n>>> 1 + 1\n2\n```\n",
    "not-run": "```{code-block} console\n:not-run: there is no XAPI in the lab\n\nroot@a# xe list\n```\n",
}
UNKNOWN = {
    "no language": "```\nnft list ruleset\n```\n",
    "shell without a prompt": "```sh\nnft list ruleset\n```\n",
    "console without a prompt": "```console\nnft list ruleset\n```\n",
    "prompt that highlighters do not know": "```console\nnode-a# nft list ruleset\n```\n",
    "Python that is no doctest": "```python\nprint(1)\n```\n",
    "indented": "text\n\n    nft list ruleset\n",
    "in a tab": "````{tabs}\n```{group-tab} xl\n\n    xl list\n```\n````\n",
}
LATER = {"indented": 2, "in a tab": 2}
"""How many lines after the beginning of the text the block is said to be; sphinx-tabs is one line early."""


@pytest.fixture
def page(tmp_path: Path):
    """Make and read a project of one page."""
    def make(text: str, topology: str = "untrusted-subnet") -> dict[str, guide.Page]:
        front_matter = f"---\ntopology: {topology}\n---\n" if topology else ""
        (tmp_path / "index.md").write_text(f"{front_matter}# Page\n\n{text}", encoding="utf-8")
        return guide.read(tmp_path)
    return make


@pytest.mark.parametrize("kind", KNOWN)
def test_a_known_kind(page, kind: str):
    assert [block.kind for block in blocks(page(KNOWN[kind]))] == [kind]


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_kind_is_named_with_its_place(page, tmp_path: Path, what: str):
    found, = unknown(page(UNKNOWN[what]))
    line = 6 + LATER.get(what, 0)
    assert found.startswith(f"{tmp_path / 'index.md'}:{line}: ")


def test_a_transcript_needs_a_topology_to_run_on(page):
    assert len(unknown(page(KNOWN["transcript"], topology=""))) == 1


def test_a_file_is_an_example_only_below_examples(page, tmp_path: Path):
    (tmp_path / "firewall.nft").write_text("flush ruleset\n", encoding="utf-8")
    assert len(unknown(page("```{literalinclude} firewall.nft\n```\n"))) == 1
    (tmp_path / "examples").symlink_to(guide.ROOT / "examples")
    found, = blocks(page("```{literalinclude} examples/domain-0/firewall.nft\n```\n"))
    assert found.kind == "example"
    assert found.example == guide.ROOT / "examples/domain-0/firewall.nft"


def test_the_reason_and_the_place_of_a_block_that_is_not_run(page, tmp_path: Path):
    found, = blocks(page(KNOWN["not-run"]))
    assert found.reason == "there is no XAPI in the lab"
    assert found.where == f"{tmp_path / 'index.md'}:6"


def test_the_reason_stands_with_a_command_within_a_sentence(page):
    doctree = page("Say {not-run}`xe host-list <no XAPI>`.\n")["index"].doctree
    found, = doctree.findall(nodes.abbreviation)
    assert (found.astext(), found["explanation"]) == ("xe host-list", "not run: no XAPI")
