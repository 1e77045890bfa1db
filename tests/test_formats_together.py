# SPDX-License-Identifier: MIT
"""HTML, LaTeX and man pages can be built in one folder, in any order, and come out as from fresh folders."""
from __future__ import annotations

from pathlib import Path

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
