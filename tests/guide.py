# SPDX-License-Identifier: MIT
"""The guide as tests look at it: its doctrees, read here, and the formats that `make` left in build/."""
from __future__ import annotations

import functools
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from code_kinds import CodeBlock, code_blocks

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
OPEN_QUESTION = "FIX" + "ME"
"""The word that stands for an open question; only the chapter map may show it."""


@dataclass(frozen=True)
class Page:
    """A page of the guide: its name, what its front matter says, and its doctree."""

    name: str
    metadata: dict[str, str]
    doctree: nodes.document

    @property
    def file(self) -> str:
        """The file of the page, from the project's folder."""
        return f"source/{self.name}.md"


def read(source: Path, confdir: Path = ROOT, known: Path | None = None) -> dict[str, Page]:
    """The pages below a folder, read with the configuration of the guide and written in no format.

    ``known`` are the doctrees of an earlier reading: what has changed since is read again.
    """
    with (tempfile.TemporaryDirectory() as scratch, patch_docutils(str(confdir)), docutils_namespace()):
        if known and known.exists():
            shutil.copytree(known, Path(scratch, "doctrees"))
        app = Sphinx(source, confdir, Path(scratch, "out"), Path(scratch, "doctrees"), "dummy",
                     status=None, warning=sys.stderr)
        app.builder.read()
        return {name: Page(name, dict(app.env.metadata[name]), app.env.get_doctree(name))
                for name in sorted(app.env.found_docs)}


@functools.cache
def pages() -> dict[str, Page]:
    """The pages of the guide by name."""
    return read(ROOT / "source", known=BUILD / "doctrees")


def blocks(page: Page) -> list[CodeBlock]:
    """The code blocks of a page, and the commands within its sentences."""
    return list(code_blocks(page.doctree, page.metadata.get("topology", "")))


def chosen(files: Sequence[str | Path]) -> list[Page]:
    """The pages with transcripts in these files, or all of them; LookupError names a file that has none."""
    found = {page.file: page for page in pages().values()
             if any(block.kind == "transcript" for block in blocks(page))}
    files = [os.path.relpath(file, ROOT) if os.path.isabs(file) else os.path.normpath(file) for file in files]
    for file in files:
        if file not in found:
            raise LookupError(f"{file} is no page with commands that are run; these are: {', '.join(found)}")
    return [found[file] for file in files] or list(found.values())


def configuration() -> dict[str, Any]:
    """What conf.py sets."""
    return runpy.run_path(str(ROOT / "conf.py"))


def man_page_of(name: str) -> str:
    """The man page that a page of the guide is on, as ``name(section)``."""
    pages = {page[0]: f"{page[1]}({page[4]})" for page in configuration()["man_pages"]}
    return pages.get(name, pages["index"])


def sphinx(builder: str, out: Path, *options: str, source: Path = ROOT / "source") -> None:
    """Build a format; CalledProcessError, with what Sphinx said, where it has a warning."""
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-nW", "--keep-going", "-c", ROOT, "-b", builder, *options,
         source, out], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def built(name: str) -> Path:
    """A file or folder that `make` has left in build/."""
    path = BUILD / name
    if not path.exists():
        pytest.fail(f"build/{name} does not exist: run make first")
    return path


def needs(program: str) -> None:
    """Skip the test where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def run(program: str, *arguments: str | Path) -> str:
    """What a program prints. Skips the test where it is not installed."""
    needs(program)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def man_text(page: Path) -> str:
    """A man page as its reader sees it, on a wide terminal, without bold and underlined letters."""
    return re.sub(".\b", "", run("mandoc", "-T", "utf8", "-O", "width=300", page))


def words(text: str) -> str:
    """The text with each run of white space made one space, to compare across line breaks."""
    return " ".join(text.split())


def letters(text: str) -> str:
    """Letters and digits only, to compare across formats, in which quotes, hyphens and ligatures differ."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


def tabs(page: Page, named: bool = False) -> list[tuple[str, str]]:
    """The labels of the tabs on a page, in order, each with the first words of its own content.

    These are the name of a file, where that is shown and the format is one in which files are ``named``.
    """
    return [
        (label.astext(), _first_words(panel, named))
        for group in page.doctree.findall(nodes.container) if "sphinx-tabs" in group["classes"]
        for label, panel in zip(group.children[0], group.children[1:], strict=True)
    ]


def _first_words(panel: nodes.Element, named: bool) -> str:
    first = next(panel.findall(lambda node: isinstance(node, (nodes.paragraph, nodes.literal_block))))
    name = [str(Path(first["source"]).resolve().relative_to(ROOT))] if named and "source" in first else []
    return " ".join([*name, *first.astext().split()[:4]])


def choices(page: Page) -> list[str]:
    """What stands above the alternatives that are tabs on the site, in order."""
    return [f"Take the one that is yours: {', '.join(label.astext() for label in group.children[0])}."
            for group in page.doctree.findall(nodes.container) if "sphinx-tabs" in group["classes"]]


def commands_not_run(page: Page) -> list[str]:
    """The commands within sentences that are not run, each with its reason as formats without a mouse show it."""
    return [f"{node.astext()} (not run: {node['not-run']})"
            for node in page.doctree.findall(nodes.literal) if "not-run" in node]


def listings(page: Page) -> list[tuple[str, str]]:
    """The files of examples that a page shows: their names, and their first words."""
    return [(str(block.example.relative_to(ROOT)), " ".join(block.text.split()[:4]))
            for block in blocks(page) if block.kind == "example"]


def label_over_content(label: str, first: str) -> re.Pattern[str]:
    """Finds a label and right below it the first words, in :func:`letters` of a format.

    Numbers may come between words: of a page, a footnote or a note.
    """
    return re.compile(r"\d{0,3}".join([letters(label), *map(letters, first.split())]))


def reasons(page: Page) -> list[str]:
    """Why blocks of a page are not run, in order."""
    return [block["not-run"] for block in page.doctree.findall(nodes.literal_block) if "not-run" in block]


def addresses(page: Page) -> list[str]:
    """What a page links to outside of the guide."""
    return [node["refuri"] for node in page.doctree.findall(nodes.reference)
            if node.get("refuri", "").startswith(("http:", "https:"))]
