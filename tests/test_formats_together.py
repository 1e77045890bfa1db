# SPDX-License-Identifier: MIT
"""HTML, LaTeX and man pages can be built in one folder, in any order, and come out as from fresh folders."""
from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes

from tests import guide

NOT_COMPARED = {".buildinfo"}
"""Names the folder's configuration, and with it the builder that came first."""


def build(folder: Path, *builders: str) -> None:
    for builder in builders:
        guide.sphinx(builder, folder / builder, "-d", folder / "doctrees")


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name not in NOT_COMPARED}


def test_one_folder_in_any_order_is_as_good_as_fresh_folders(tmp_path: Path, monkeypatch):
    guide.needs("rsvg-convert")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    build(tmp_path / "one", "html", "man", "latex")
    build(tmp_path / "reverse", "latex", "man", "html")
    build(tmp_path / "fresh", "man")
    html, latex = files(tmp_path / "one/html"), files(tmp_path / "reverse/latex")
    man = files(tmp_path / "fresh/man")
    assert "index.html" in html and "securing-xen.tex" in latex and "securing-xen.7" in man
    assert files(tmp_path / "reverse/html") == html
    assert files(tmp_path / "one/latex") == latex
    assert files(tmp_path / "one/man") == man == files(tmp_path / "reverse/man")


def test_the_three_questions_are_the_same_everywhere():
    """Each with its answers, one after the other, in HTML, in the man page and in the PDF."""
    guide.needs("pdftotext")
    page = guide.pages()["index"].doctree
    questions = next(node for node in page.findall(nodes.enumerated_list))
    pieces = [guide.letters(node.astext()) for item in questions for node in item.findall(nodes.paragraph)
              if not list(node.findall(addnodes.pending_xref))]
    assert len(questions) == 3 and len(pieces) == 5
    formats = {
        "html": BeautifulSoup(guide.built("html/index.html").read_text(encoding="utf-8"), "html.parser").article.text,
        "man": guide.man_text(guide.built("man/securing-xen.7")),
        "pdf": guide.run("pdftotext", guide.built("pdf/securing-xen.pdf"), "-"),
    }
    for name, text in formats.items():
        text, at = guide.letters(text), 0
        for piece in pieces:
            assert piece in text[at:], (name, piece)
            at = text.index(piece, at)
