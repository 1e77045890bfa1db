# SPDX-License-Identifier: MIT
"""What the converter makes of LaTeX, as tests look at it: its files, and the pages as Sphinx understands them."""
from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from latex import tex2myst
from latex.converter import folder, myst

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "latex" / "securing-xen.tex"

NEEDED = ("attrs_inline", "colon_fence", "deflist")
"""The MyST extensions that the pages need."""
BORNE = (*NEEDED, "attrs_block", "dollarmath", "fieldlist", "substitution", "tasklist")
"""Those that they have to bear besides."""


def files_of(tex: str, split: str = "section") -> dict[str, bytes]:
    return myst.render(tex2myst.parse(tex, "book.tex"), split)


def sphinx(pages: Path, out: Path, builder: str, extensions: Sequence[str] = BORNE) -> Sphinx:
    """Build pages with myst_parser alone; a warning is a failure."""
    warnings = io.StringIO()
    settings = {
        "extensions": ["myst_parser"], "myst_enable_extensions": list(extensions), "numfig": True,
        "nitpicky": True, "smartquotes": False,
    }
    with patch_docutils(), docutils_namespace():
        app = Sphinx(pages, None, out, out / "doctrees", builder, status=None, warning=warnings,
                     confoverrides=settings)
        app.build()
    assert warnings.getvalue() == ""
    return app


def pages_of(app: Sphinx) -> list[nodes.document]:
    """The pages of a project in the order of the text."""

    def visit(name: str) -> Iterator[nodes.document]:
        tree = app.env.get_doctree(name)
        yield tree
        for toctree in tree.findall(addnodes.toctree):
            for _, child in toctree["entries"]:
                yield from visit(child)

    trees = list(visit("index"))
    assert len(trees) == len(app.env.found_docs)
    return trees


def build(
    tex: str, scratch: Path, split: str = "section", extensions: Sequence[str] = BORNE
) -> list[nodes.document]:
    """The pages of a LaTeX text as Sphinx understands them, in the order of the text."""
    folder.write(files_of(tex, split), scratch / "pages")
    return pages_of(sphinx(scratch / "pages", scratch / "build", "dummy", extensions))


def text_of(node: nodes.Node) -> str:
    """What a node says, on one line: without the empty comments, and without the numbers of footnotes."""
    node = node.deepcopy()
    for part in list(node.findall(lambda part: isinstance(part, (nodes.raw, nodes.footnote_reference)))):
        if isinstance(part, nodes.raw):
            # Markdown's own line ends come as one node for each of two formats, behind a blank.
            assert part.astext() in ("<!-- -->", "<br />\n", "\\\\\n"), part
        part.parent.remove(part)
    return " ".join(node.astext().split())


def texts(tree: nodes.Node) -> list[str]:
    """The titles and paragraphs of a page, each on one line."""
    return [text_of(node) for node in tree.findall(lambda node: isinstance(node, (nodes.title, nodes.paragraph)))]


def prose(tree: nodes.Node) -> str:
    """The words of a page but for its code."""
    return " ".join(texts(tree))


def converter(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, in a folder."""
    return subprocess.run([sys.executable, ROOT / "latex" / "tex2myst.py", *arguments],
                          cwd=folder, text=True, capture_output=True, timeout=60)


def tree_of(folder: Path) -> dict[str, bytes]:
    """All that is in a folder: paths and contents."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"/"
            for path in folder.rglob("*")}


def png() -> bytes:
    """A picture of one red point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))
