# SPDX-License-Identifier: MIT
"""The guide as tests look at it: its doctrees, read here, and the formats that `make` left in build/."""
from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

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


def read(source: Path, confdir: Path = ROOT) -> dict[str, Page]:
    """The pages below a folder, read with the configuration of the guide and written in no format."""
    with (tempfile.TemporaryDirectory() as scratch, patch_docutils(str(confdir)), docutils_namespace()):
        app = Sphinx(source, confdir, Path(scratch, "out"), Path(scratch, "doctrees"), "dummy",
                     status=None, warning=sys.stderr, freshenv=True)
        app.build()
        return {name: Page(name, dict(app.env.metadata[name]), app.env.get_doctree(name))
                for name in sorted(app.env.found_docs)}


@functools.cache
def pages() -> dict[str, Page]:
    """The pages of the guide by name."""
    return read(ROOT / "source")


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


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints. Skips the test where the program is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout


def man_text(page: Path) -> str:
    """A man page as its reader sees it, on a wide terminal, without bold and underlined letters."""
    return re.sub(".\b", "", run("mandoc", "-T", "utf8", "-O", "width=300", page))


def words(text: str) -> str:
    """The text with each run of white space made one space, to compare across line breaks."""
    return " ".join(text.split())


def tabs(page: Page) -> list[list[tuple[str, str]]]:
    """Of each group of tabs on a page: the labels, each with the first words of its own content."""
    found = []
    for group in page.doctree.findall(nodes.container):
        if "sphinx-tabs" in group["classes"]:
            labels, panels = group.children[0], group.children[1:]
            found.append([(label.astext(), _first_words(panel))
                          for label, panel in zip(labels, panels, strict=True)])
    return found


def _first_words(panel: nodes.Element) -> str:
    first = next(panel.findall(lambda node: isinstance(node, (nodes.paragraph, nodes.literal_block))))
    return " ".join(first.astext().split()[:4])
