# SPDX-License-Identifier: MIT
"""The man pages that `make` built, as `man` and its tools see them."""
from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from docutils import nodes

from tests import guide

MAN_PAGES = guide.configuration()["man_pages"]
NAMES = [f"{name}.{section}" for _, name, _, _, section in MAN_PAGES]


@functools.cache
def text(name: str) -> str:
    """A man page, given as ``name(section)`` or as its file's name, as words."""
    file = guide.built("man") / re.sub(r"\((\d)\)$", r".\1", name)
    return guide.words(guide.man_text(file))


def test_the_guide_and_each_scenario_have_a_page():
    scenarios = {name.removeprefix("scenarios/") for name in guide.pages() if name.startswith("scenarios/")}
    assert set(NAMES) == {"securing-xen.7", "securing-xen-exposure.8",
                          *(f"securing-xen-{name}.7" for name in scenarios)}
    assert {file.name for file in guide.built("man").glob("*.[0-9]")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_mandoc_finds_nothing(name: str):
    """Not even a matter of style; mandoc exits with a status for what it prints."""
    assert guide.run("mandoc", "-T", "lint", "-W", "style", guide.built("man") / name) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_sections_that_readers_look_for(name: str):
    page = (guide.built("man") / name).read_text(encoding="utf-8")
    sections = [line.removeprefix(".SH ").strip('"') for line in page.splitlines() if line.startswith(".SH ")]
    program = name.endswith(".8")
    assert sections[:3 if program else 2] == ["NAME", *["SYNOPSIS"] * program, "DESCRIPTION"]
    assert sections[-2:] == ["SEE ALSO", "COPYRIGHT"]
    assert sections.index("EXAMPLES") < sections.index("CAVEATS" if program else "FILES")
    if name != "securing-xen.7":
        assert set(sections) <= {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES",
                                 "CAVEATS", "HISTORY", "NOTES", "SEE ALSO", "COPYRIGHT"}


@pytest.mark.parametrize("page", [page for page in guide.pages().values() if page.name.startswith("scenarios/")],
                         ids=lambda page: page.name)
def test_the_files_of_a_page_are_listed(page: guide.Page):
    files = text(guide.man_page_of(page.name)).partition(" FILES ")[2].partition(" CAVEATS ")[0]
    shown = {str(block.example.relative_to(guide.ROOT)) for block in guide.blocks(page) if block.kind == "example"}
    assert shown == set(re.findall(r"examples/\S+", files))


@pytest.mark.parametrize("name", NAMES)
def test_the_line_at_the_top_is_whole_on_80_columns(name: str):
    first = guide.run("man", "-l", guide.built("man") / name).splitlines()[0]
    page, guide_, again = re.split(" {2,}", first)
    assert page == again and guide_ == "Securing Xen"
    assert page.lower() == re.sub(r"(?:securing-xen-)?(.+)\.(\d)$", r"\1(\2)", name) and len(first) <= 80


def test_text_fits_into_80_columns():
    """What is wider is code, which must not be broken, a table, or an address."""
    code = {line.strip() for page in guide.pages().values() for node in page.doctree.findall(nodes.literal_block)
            for line in node.astext().splitlines()}
    for name in NAMES:
        lines = guide.run("man", "-l", guide.built("man") / name).splitlines()
        wide = [line for line in lines if len(line) > 80 and " " in line.strip() and not re.search("[│─]", line)]
        assert [line for line in wide if line.strip() not in code] == [], name


def test_they_are_installed_where_they_are_told(tmp_path: Path):
    guide.built("man")
    subprocess.run(["make", "--old-file=build/man/securing-xen.7", "install-man", f"DESTDIR={tmp_path}", "PREFIX=/usr"],
                   cwd=guide.ROOT, check=True, capture_output=True)
    files = list((tmp_path / "usr/share/man").glob("man*/*"))
    assert {file.name for file in files} == set(NAMES)
    assert all(file.parent.name == f"man{file.suffix[1:]}" for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o644}


@pytest.mark.parametrize(("name", "description", "section"), [(page[1], page[2], page[4]) for page in MAN_PAGES])
def test_the_name_line(name: str, description: str, section: int):
    page = guide.built("man") / f"{name}.{section}"
    assert f".SH NAME {name} \\- {description} .SH" in guide.words(page.read_text(encoding="utf-8"))
    assert guide.run("lexgrog", page).strip() == f'{page}: "{name} - {description}"'


@pytest.mark.parametrize("name", NAMES)
def test_each_page_names_its_sisters(name: str):
    see_also = text(name).rpartition("SEE ALSO ")[2]
    for other in NAMES:
        assert (re.sub(r"\.(\d)$", r"(\1)", other) in see_also) == (other != name)


def test_references_to_another_man_page_name_it():
    count = 0
    for name in guide.pages():
        html = guide.built(f"html/{name}.html").read_text(encoding="utf-8")
        content = guide.letters(text(guide.man_page_of(name)))
        for link in BeautifulSoup(html, "html.parser").select("article a.reference.internal"):
            target = urlsplit(urljoin(f"{name}.html", link["href"])).path.removesuffix(".html")
            other = guide.man_page_of(target)
            no_link_here = link.find_parent(class_=["toctree-wrapper", "evidence"])
            if target in guide.pages() and other != guide.man_page_of(name) and not no_link_here:
                count += 1
                expected = f"{link.text} ({other})"
                assert guide.letters(expected) in content, (name, expected)
    assert count > 0


def test_external_links_are_printed():
    for page in guide.pages().values():
        for address in guide.addresses(page):
            assert f"<{address}>" in text(guide.man_page_of(page.name)), page.name


def test_tab_labels_stand_over_their_own_content():
    for page in guide.pages().values():
        content = guide.letters(text(guide.man_page_of(page.name)))
        at = 0
        for label, first in guide.tabs(page, named=True):
            found = guide.label_over_content(label, first).search(content, at)
            assert found, (page.name, label, first)
            at = found.end()


def test_alternatives_files_and_reasons_are_named():
    for page in guide.pages().values():
        words = text(guide.man_page_of(page.name))
        for said in guide.choices(page):
            assert said in words, (page.name, said)
        for label, first in guide.tabs(page, named=True):
            assert f"► {label} {first.split()[0]}" in words, (page.name, label)
        for file, first in guide.listings(page):
            assert guide.label_over_content(file, first).search(guide.letters(words)), (page.name, file)
        for command in guide.commands_not_run(page):
            assert guide.letters(command) in guide.letters(words), (page.name, command)


def test_blocks_that_are_not_run_say_so():
    for page in guide.pages().values():
        content = guide.letters(text(guide.man_page_of(page.name)))
        for reason in guide.reasons(page):
            assert guide.letters(f"Not run: {reason}") in content, page.name


@pytest.mark.parametrize("name", NAMES)
def test_no_macro_and_no_address_within_the_guide_is_printed(name: str):
    assert re.findall(r"\.?(?:UN)?INDENT\b|\\f[BIPR]|<#", text(name)) == []


def test_no_open_question_but_in_the_chapter_map():
    chapter_map = guide.pages()["reference/chapter-map"].doctree.astext()
    for name in NAMES:
        allowed = chapter_map.count(guide.OPEN_QUESTION) if name == "securing-xen.7" else 0
        assert text(name).count(guide.OPEN_QUESTION) <= allowed, name
