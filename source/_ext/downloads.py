# SPDX-License-Identifier: MIT
"""Each block that shows an example says which file it is.

In HTML the file can be downloaded there, and all of them as one archive with their SHA-256 sums.
The archive is the same bytes for the same files, whenever and wherever it is made.
"""
from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole
from sphinx.util.typing import ExtensionMetadata

from around_blocks import Above, Below, put
from tests.lab.topology import EXAMPLES

FOLDER = "examples"
ARCHIVE = "securing-xen-examples.tar.gz"
SUMS = "SHA256SUMS"


def files() -> list[Path]:
    """Every file of the examples, in order."""
    return sorted(file for file in EXAMPLES.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def sums() -> bytes:
    """The SHA-256 sum of each, as ``sha256sum -c`` reads them in the folder of the examples."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(EXAMPLES)}\n"
                   for file in files()).encode()


def archive() -> bytes:
    """All files and their sums, in a folder ``examples``: no times, no owners."""
    contents = {str(file.relative_to(EXAMPLES)): (file.read_bytes(), file.stat().st_mode) for file in files()}
    contents[SUMS] = (sums(), 0o644)
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (data, mode) in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(data)
            entry.mode = 0o755 if mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(unpacked.getvalue(), mtime=0)


def write(folder: Path) -> None:
    """Put the examples, the archive, and its sum into a folder."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for file in files():
        copy = folder / FOLDER / file.relative_to(EXAMPLES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    (folder / FOLDER / SUMS).write_bytes(sums())
    data = archive()
    (folder / ARCHIVE).write_bytes(data)
    (folder / SUMS).write_text(f"{hashlib.sha256(data).hexdigest()}  {ARCHIVE}\n", encoding="utf-8")


def _link(page: str, target: str, text: str) -> nodes.raw:
    address = "../" * page.count("/") + target
    return nodes.raw("", f'<a class="reference download" href="{escape(address)}" download>{escape(text)}</a>',
                     format="html")


class Archive(nodes.inline):
    """The text that becomes the link to the archive."""


class ArchiveRole(SphinxRole):
    """``{examples-archive}`TEXT```: a link to the archive where there are links; elsewhere the text alone."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [Archive("", self.text)], []


def add_links(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """A link to the file below its block; other formats have no file to link to, and name it above."""
    links = app.builder.name == "html"
    for text in list(doctree.findall(Archive)):
        text.replace_self(_link(page, ARCHIVE, text.astext()) if links else nodes.Text(text.astext()))
    for block in list(doctree.findall(nodes.literal_block)):
        file = Path(block.get("source", "")).resolve()
        if not file.is_relative_to(EXAMPLES):
            continue
        name = f"{FOLDER}/{file.relative_to(EXAMPLES)}"
        if links:
            put(app, Below, block, _link(page, name, f"Download {file.name}"), "download")
        else:
            put(app, Above, block, nodes.literal("", name), "file")


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Put the files beside the pages."""
    if app.builder.name == "html" and exception is None:
        write(Path(app.outdir))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_role("examples-archive", ArchiveRole())
    app.connect("doctree-resolved", add_links)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
