# SPDX-License-Identifier: MIT
"""The examples as files: from their blocks, and all as one archive that anybody can make again, byte by byte."""
from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

from bs4 import BeautifulSoup

import downloads
from tests import guide

EXAMPLES = guide.ROOT / "examples"


def test_each_example_can_be_downloaded_from_its_block():
    count = 0
    for page in guide.pages().values():
        file = guide.built(f"html/{page.name}.html")
        html = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        links = [(file.parent / link["href"]).resolve() for link in html.select("p.download a[download]")]
        shown = [block.example for block in guide.blocks(page) if block.kind == "example"]
        assert [link.relative_to(guide.built("html") / "examples") for link in links] == [
            example.relative_to(EXAMPLES) for example in shown], page.name
        assert [link.read_bytes() for link in links] == [example.read_bytes() for example in shown]
        count += len(links)
    assert count > 20


def test_the_archive_is_all_examples_and_sha256sum_agrees(tmp_path: Path):
    data = guide.built(f"html/{downloads.ARCHIVE}").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(tmp_path, filter="data")
    tracked = guide.run("git", "-C", str(guide.ROOT), "ls-files", "examples").splitlines()
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()) == sorted(
        [*tracked, "examples/SHA256SUMS"])
    check = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "examples",
                           capture_output=True, text=True)
    assert check.returncode == 0 and check.stdout.count(": OK") == len(tracked)
    for file in (tmp_path / "examples").rglob("*"):
        if file.is_file() and file.name != "SHA256SUMS":
            original = EXAMPLES / file.relative_to(tmp_path / "examples")
            assert os.access(file, os.X_OK) == os.access(original, os.X_OK), file
    assert guide.built("html/SHA256SUMS").read_text() == f"{hashlib.sha256(data).hexdigest()}  {downloads.ARCHIVE}\n"


def test_the_archive_is_the_same_at_another_time_and_for_another_user(monkeypatch):
    before = downloads.archive()
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert downloads.archive() == before
    with tarfile.open(fileobj=io.BytesIO(before)) as tar:
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in tar} == {(0, 0, "", 0)}
        assert {entry.mode for entry in tar} == {0o644, 0o755}


def test_the_landing_page_leads_to_the_archive():
    html = BeautifulSoup(guide.built("html/index.html").read_text(encoding="utf-8"), "html.parser")
    assert html.find("a", href=downloads.ARCHIVE, download=True)
