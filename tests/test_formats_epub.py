# SPDX-License-Identifier: MIT
"""The EPUB that `make epub` built."""
from __future__ import annotations

import functools
import re
import shutil
import subprocess
import zipfile

from bs4 import BeautifulSoup

from tests import guide

EPUB = "epub/securing-xen.epub"


@functools.cache
def text(name: str) -> BeautifulSoup:
    with zipfile.ZipFile(guide.built(EPUB)) as book:
        return BeautifulSoup(book.read(f"{name}.xhtml"), "html.parser")


def test_epubcheck_finds_nothing():
    for program in ("epubcheck", "java"):
        guide.needs(program)
    # Debian's program is a Java archive, which only some systems can run by its name.
    program = ["java", "-jar", shutil.which("epubcheck")]
    done = subprocess.run([*program, "--failonwarnings", guide.built(EPUB)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_page_is_there_with_all_panels_of_its_tabs():
    for name, page in guide.pages().items():
        content, at = guide.letters(text(name).text), 0
        for label, first in guide.tabs(page, named=True):
            found = guide.label_over_content(label, first).search(content, at)
            assert found, (name, label)
            at = found.end()
        assert not text(name).select("details.values, script")


def test_alternatives_files_and_reasons_are_named():
    for name, page in guide.pages().items():
        content = guide.letters(text(name).text)
        for said in guide.choices(page):
            assert guide.letters(said) in content, (name, said)
        for label, _ in guide.tabs(page):
            assert text(name).find("dt", string=re.compile(f"► {label}")), (name, label)
        for file, first in guide.listings(page):
            assert guide.label_over_content(file, first).search(content), (name, file)
        for command in guide.commands_not_run(page):
            assert guide.letters(command) in content, (name, command)


def test_pictures_are_there():
    with zipfile.ZipFile(guide.built(EPUB)) as book:
        for name in guide.pages():
            for picture in text(name).select("img[src$='.svg']"):
                assert picture["alt"]
                assert picture["src"].removeprefix("../") in book.namelist()
    assert text("considerations").select("img[src='topology-domain-0-before.svg']")
