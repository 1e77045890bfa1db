# SPDX-License-Identifier: MIT
"""The PDF that `make` built."""
from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docutils import nodes
from pypdf import PdfReader
from pypdf.generic import Destination

from tests import guide

PDF = "pdf/securing-xen.pdf"
QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."})


@pytest.fixture(autouse=True)
def tex() -> None:
    """Without TeX there is no PDF, which `make` has said."""
    guide.needs("latexmk")


@functools.cache
def reader() -> PdfReader:
    return PdfReader(guide.built(PDF))


@functools.cache
def letters() -> str:
    """The text of the PDF, letters and digits only. Numbers of pages stand between the texts of two pages."""
    return guide.letters(written())


@functools.cache
def written() -> str:
    """The text of the PDF; each page ends with a form feed."""
    return guide.run("pdftotext", "-layout", guide.built(PDF), "-")


def test_all_fonts_are_embedded():
    _, _, *fonts = guide.run("pdffonts", guide.built(PDF)).splitlines()
    assert fonts
    for font in fonts:
        embedded = font.split()[-5]
        assert embedded == "yes", font
        assert "Type 3" not in font, f"{font}: bitmaps look bad on a screen"
        assert not re.match(r"\S+sc\s", font), f"{font}: a command in small capitals has lost its case"


def test_each_page_of_the_guide_and_its_sections_are_bookmarks():
    bookmarks = [guide.letters(title) for title in _titles(reader().outline)]
    for page in guide.pages().values():
        for section in page.doctree.findall(nodes.section):
            depth = len([node for node in _above(section) if isinstance(node, nodes.section)])
            if depth < 2 and not (page.name == "index" and depth == 0):
                assert guide.letters(section[0].astext()) in bookmarks, (page.name, section[0].astext())


def _titles(outline: list) -> Iterator[str]:
    for entry in outline:
        yield from _titles(entry) if isinstance(entry, list) else [entry.title]


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def test_links_lead_somewhere():
    inside, outside = set(), set()
    for page in reader().pages:
        for annotation in page.get("/Annots", []):
            action = annotation.get_object().get("/A", {})
            if action.get("/S") == "/GoTo":
                inside.add(action["/D"])
            elif action.get("/S") == "/URI":
                outside.add(action["/URI"])
    destinations = reader().named_destinations
    assert inside and [name for name in inside if not isinstance(destinations.get(name), Destination)] == []
    linked = {address for page in guide.pages().values() for address in guide.addresses(page)}
    assert linked and linked - outside == set()


def log() -> str:
    return guide.built("latex/securing-xen.log").read_text(encoding="utf-8", errors="replace")


def test_no_line_is_too_long_and_no_character_is_missing():
    assert re.findall(r"^(?:Overfull|Missing character).*", log(), re.MULTILINE) == []


def test_no_reference_was_made_up():
    """TeX warns of a label that it does not know; of a target that there is not, and links to the first page."""
    assert re.findall(r"LaTeX Warning: .*(?:undefined|multiply).*|pdfTeX warning \(dest\).*", log()) == []


def test_tab_labels_stand_over_their_own_content():
    for page in guide.pages().values():
        at = letters().index(guide.letters(_title(page)))
        for label, first in guide.tabs(page, named=True):
            found = guide.label_over_content(label, first).search(letters(), at)
            assert found, (page.name, label, first)
            at = found.end()


def test_alternatives_files_and_reasons_are_named():
    for page in guide.pages().values():
        for said in guide.choices(page):
            assert guide.letters(said) in letters(), (page.name, said)
        for file, first in guide.listings(page):
            assert guide.label_over_content(file, first).search(letters()), (page.name, file)
    commands = [command for page in guide.pages().values() for command in guide.commands_not_run(page)]
    assert len(commands) > 30
    for command in commands:
        assert letters().count(guide.letters(command)) + _over_page_ends(command) >= commands.count(command), command


def _over_page_ends(text: str) -> int:
    """How often a page ends between two words of a text: footnotes, a foot and a running head stand there."""
    words = text.split()
    parts = [(guide.letters(" ".join(words[:at])), guide.letters(" ".join(words[at:]))) for at in range(1, len(words))]
    return sum(begin in page and rest in after[:200]
               for page, after in itertools.pairwise(letters_of_pages()) for begin, rest in parts)


@functools.cache
def letters_of_pages() -> list[str]:
    return [guide.letters(page) for page in written().split("\f")]


def _title(page: guide.Page) -> str:
    return next(page.doctree.findall(nodes.title)).astext()


def test_blocks_that_are_not_run_say_so():
    for page in guide.pages().values():
        for reason in guide.reasons(page):
            assert guide.letters(f"Not run: {reason}") in letters(), page.name


def test_pictures_are_drawn_and_not_made_of_dots():
    drawn = [page for page in guide.pages().values() if "topology_diagram" in page.doctree.pformat()]
    assert drawn
    images = guide.run("pdfimages", "-list", guide.built(PDF)).splitlines()[2:]
    assert images == []


def test_no_open_question_but_in_the_chapter_map():
    allowed = guide.pages()["reference/chapter-map"].doctree.astext().count(guide.OPEN_QUESTION)
    assert letters().count(guide.OPEN_QUESTION) <= allowed


def test_what_the_document_is_stands_in_it():
    data = reader().metadata
    assert (data.title, data.author) == ("Securing Xen", guide.configuration()["author"])
    assert "Domain-0" in data.subject and "live migration" in data["/Keywords"]
    assert reader().trailer["/Root"]["/Lang"] == "en"


def test_title_page_contents_running_heads_and_index():
    first, second, *_, last = reader().pages
    assert "Securing Xen" in first.extract_text() and "Version" in first.extract_text()
    assert "Contents" in second.extract_text()
    assert "Index" in [title.strip() for title in _titles(reader().outline)]
    for name in ("border.nft", "xl", "wg-quick", "relocation port"):
        assert guide.letters(name) in guide.letters("".join(page.extract_text() for page in reader().pages[-4:])), name
    heads = [guide.letters(page.strip().splitlines()[0]) for page in written().removesuffix("\f").split("\f")]
    for page in guide.pages().values():
        if page.name != "index":
            assert any(guide.letters(_title(page)) in head for head in heads), page.name


def test_a_block_and_the_lines_around_it_are_on_one_page():
    """No page begins with what ran a block, and none ends with the name of a file, a label or a heading."""
    before = {title.translate(QUOTES) for title in _titles(reader().outline)}
    for page in guide.pages().values():
        before |= {label for label, _ in guide.tabs(page)} | {name for name, _ in guide.listings(page)}
    for number, page in enumerate(_pages(), 1):
        _, first, *_, last, _ = [line.strip() for line in page.splitlines() if line.strip()]
        assert not first.startswith(("run on ", "tested ", "not run yet")), (number, first)
        assert re.sub(r"^[\d.\W]+", "", last.translate(QUOTES)) not in before, (number, last)


@functools.cache
def _pages(how: str = "-layout", begin: str = "\f") -> list[str]:
    """What pdftotext says of each page, without the title page, the contents and the index."""
    first = reader().page_labels.index("1", 1)
    index = next(number for number, page in enumerate(written().split("\f")) if page.lstrip().startswith("Index"))
    said = written() if how == "-layout" else guide.run("pdftotext", how, guide.built(PDF), "-")
    return f"\f{said}".split(begin)[1:][first:index]


def test_pages_are_full():
    """Each goes on to its lower half, but the one before the checklist, which begins on a page of its own."""
    ends = {}
    for number, page in enumerate(_pages("-bbox", begin="<page "), 1):
        *found, foot = sorted({float(end) for end in re.findall(r'yMax="([\d.]+)"', page)})
        ends[number] = max(end for end in found if end < foot - 20) / float(re.search(r'height="([\d.]+)"', page)[1])
    checklist = next(number for number, text in enumerate(_pages(), 1)
                     if re.match(r"\d+\s+The checklist\s.*\n\s+\d+\s+The checklist\n", text))
    assert {number for number, end in ends.items() if end < 0.6} <= {checklist - 1, max(ends)}


def test_the_index_names_the_page_of_each_listing():
    listings = {listing for page in guide.pages().values() for listing in guide.listings(page)}
    shown = {(guide.letters(name), number) for number, text in enumerate(map(guide.letters, _pages()), 1)
             for name, first in listings if guide.label_over_content(name, first).search(text)}
    entries = re.findall(r"\\indexentry\{(.*)\|hyperpage\}\{(\d+)\}",
                         guide.built("latex/securing-xen.idx").read_text(encoding="utf-8"))
    named = {("examples" + guide.letters(re.sub(r"@.*?(?=!|$)|\\sphinxhyphen", "", entry)), int(number))
             for entry, number in entries}
    assert {name for name, _ in shown} == {guide.letters(name) for name, _ in listings}
    assert shown == {(name, number) for name, number in named if name in dict(shown)}


def test_two_spaces_in_code_are_two():
    """TeX makes one of them, unless it may not; pdftotext shows one in any case."""
    source = guide.built("latex/securing-xen.tex").read_text(encoding="utf-8")
    assert source.count("a\\$\N{NO-BREAK SPACE} \\textasciicircum{}192") == 1
    for code in re.findall(r"\\sphinxcode\{\\sphinxupquote\{[^\n]*?\}\}", source):
        assert "  " not in code, code


def test_the_title_page_says_where_the_guide_is_published_where_that_is_known(tmp_path: Path, monkeypatch):
    (tmp_path / "index.md").write_text("# Page\n\nWords.\n")
    for address, said in (("https://example.org/guide/", True), ("", False)):
        monkeypatch.setenv("SITE_URL", address)
        guide.sphinx("latex", tmp_path / "out", "-E", source=tmp_path)
        title = (tmp_path / "out/securing-xen.tex").read_text().partition(r"\end{titlepage}")[0]
        assert (r"\url{https://example.org/guide/}" in title) == (r"\url{" in title) == said


def test_references_name_a_page():
    text = guide.run("pdftotext", guide.built(PDF), "-")
    assert re.search(r"WireGuard between the nodes\s+\(page\s+\d+\)", text)


def test_no_word_of_code_is_broken():
    """Lines are broken at spaces only: each word of a file or a command is somewhere in the text in one piece."""
    text = guide.run("pdftotext", "-layout", guide.built(PDF), "-").translate(QUOTES)
    for page in guide.pages().values():
        for block in guide.blocks(page):
            for word in block.text.translate(QUOTES).split() if not block.inline else ():
                assert word in text, (block.where, word)


def test_the_same_source_gives_the_same_file(tmp_path: Path):
    """In another folder, at another time: TeX's last run, with what the runs before it left for it."""
    results = {f"securing-xen.{ending}" for ending in ("pdf", "aux", "toc", "out", "idx")}
    shutil.copytree(guide.built("latex"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "securing-xen.pdf").unlink()
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "securing-xen.tex"],
                   cwd=tmp_path, env=os.environ | {"SOURCE_DATE_EPOCH": "86400", "FORCE_SOURCE_DATE": "1"},
                   stdin=subprocess.DEVNULL, capture_output=True, check=True)
    for name in results:
        assert (tmp_path / name).read_bytes() == guide.built(f"latex/{name}").read_bytes(), name
    assert guide.built(PDF).read_bytes() == guide.built("latex/securing-xen.pdf").read_bytes()
