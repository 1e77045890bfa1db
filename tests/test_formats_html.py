# SPDX-License-Identifier: MIT
"""The site that `make` built: complete, self-contained, and right where it is put together from parts."""
from __future__ import annotations

import functools
import hashlib
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from docutils import nodes

from tests import guide

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "video": "src",
          "audio": "src", "object": "data", "use": "href", "image": "href"}
"""Elements that make a browser fetch something, and the attribute that says what; ``link`` is apart."""


@functools.cache
def site() -> dict[str, BeautifulSoup]:
    """All pages of the site, those without text of their own (search) too, by name."""
    folder = guide.built("html")
    return {str(file.relative_to(folder)): BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
            for file in sorted(folder.rglob("*.html"))}


def html(page: guide.Page) -> BeautifulSoup:
    return site()[f"{page.name}.html"]


def test_every_page_is_there():
    assert {f"{name}.html" for name in guide.pages()} <= set(site())


def test_nothing_is_loaded_from_other_hosts():
    found = [f"{name}: {address}" for name, page in site().items()
             for address in _loaded(page) if _elsewhere(address)]
    for file in sorted([*guide.built("html").rglob("*.css"), *guide.built("html").rglob("*.js")]):
        found += [f"{file.name}: {address}" for address in _addresses_in_css(file.read_text(encoding="utf-8"))
                  if _elsewhere(address)]
    assert found == []


def _loaded(page: BeautifulSoup) -> list[str]:
    addresses = [element[attribute] for name, attribute in LOADED.items()
                 for element in page.find_all(name) if element.has_attr(attribute)]
    addresses += [link["href"] for link in page.find_all("link") if "canonical" not in link.get("rel", [])]
    for style in [*(element.text for element in page.find_all("style")),
                  *(element["style"] for element in page.find_all(style=True))]:
        addresses += _addresses_in_css(style)
    return addresses


def _addresses_in_css(text: str) -> list[str]:
    return re.findall(r"""(?:url\(\s*|@import\s+)["']?([^"')\s]+)""", text)


def _elsewhere(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme not in ("", "data")


def test_the_browser_is_told_to_load_nothing_from_other_hosts():
    for name, page in site().items():
        policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
        assert policy is not None, name
        assert page.head.find(True) is policy, f"{name}: what stands before the policy is not under it"
        rules = set(policy["content"].split("; "))
        assert {"default-src 'self'", "object-src 'none'", "base-uri 'none'"} <= rules
        for script in page.find_all("script", src=False):
            digest = b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy["content"], f"{name}: {script.text}"
        handlers = [attribute for element in page.find_all(True) for attribute in element.attrs
                    if attribute.startswith("on")]
        assert handlers == [], name


def test_every_link_within_the_site_leads_somewhere():
    broken = []
    for name, page in site().items():
        for link in page.find_all(["a", "link"], href=True):
            target = urlsplit(urljoin(name, link["href"]))
            if target.scheme or target.netloc:
                continue
            # The page about missing pages is found at any address, so its links begin where the site does.
            target = target._replace(path=target.path.lstrip("/"))
            other = site().get(target.path)
            if other is None and not (guide.built("html") / target.path).is_file():
                broken.append(f"{name}: {link['href']}")
            elif target.fragment and other.find(id=unquote(target.fragment)) is None:
                broken.append(f"{name}: {link['href']}")
    assert broken == []


def test_titles_and_descriptions():
    titles = {}
    for page in guide.pages().values():
        head = html(page).head
        assert head.title.text.endswith("Securing Xen"), page.name
        assert titles.setdefault(head.title.text, page.name) == page.name, "two pages of one title"
        descriptions = [meta["content"] for meta in head.find_all("meta", attrs={"name": "description"})]
        assert len(descriptions) == 1 and 20 < len(descriptions[0]) <= 200, (page.name, descriptions)
        assert html(page).html["lang"] == "en"


def test_each_tab_belongs_to_its_own_content():
    for page in guide.pages().values():
        found = []
        for tab in html(page).find_all(role="tab"):
            panel = html(page).find(id=tab["aria-controls"])
            assert panel["data-label"] == tab.text
            found.append((tab.text, panel))
        expected = guide.tabs(page)
        assert [label for label, _ in found] == [label for label, _ in expected], page.name
        for (label, panel), (_, first) in zip(found, expected, strict=True):
            assert guide.letters(panel.text).startswith(guide.letters(first)), (page.name, label)


def test_all_tabs_are_shown_where_none_can_be_clicked():
    style = (guide.built("html") / "_static/guide.css").read_text(encoding="utf-8")
    rule = style.partition("@media print, (scripting: none) {")[2].partition("\n}")[0]
    assert re.search(r"\.sphinx-tabs-panel\[hidden\] \{\s+display: block;", rule)
    assert "content: attr(data-label);" in rule
    for page in guide.pages().values():
        if guide.tabs(page):
            sheets = [link["href"] for link in html(page).find_all("link", rel="stylesheet")]
            assert any("/guide.css" in sheet for sheet in sheets), page.name


def test_blocks_that_are_not_run_say_so():
    for page in guide.pages().values():
        remarks = [remark for remark in html(page).find_all("p", class_="not-run")]
        assert [guide.letters(remark.text) for remark in remarks] == [
            guide.letters(f"Not run: {reason}") for reason in guide.reasons(page)], page.name
        for remark in remarks:
            assert remark.find_next_sibling().find("pre") is not None, remark


def test_pictures_have_words():
    pictures = [picture for page in guide.pages().values() for picture in html(page).select(".topology svg")]
    for picture in pictures:
        assert picture["role"] == "img"
        assert picture.find("title", id=picture["aria-labelledby"]).text
        assert picture.find("desc", id=picture["aria-describedby"]).text
    assert len(pictures) >= 3


def test_no_open_question_but_in_the_chapter_map():
    for name, page in site().items():
        if name != "reference/chapter-map.html":
            assert guide.OPEN_QUESTION not in page.text, name


def test_front_matter_is_not_shown():
    for page in guide.pages().values():
        if "topology" in page.metadata:
            assert not re.search(rf"topology:?\s*{page.metadata['topology']}", html(page).text), page.name


@pytest.mark.parametrize("text", [
    '<script src="https://example.org/x.js"></script>', '<img src="//example.org/x.png">',
    '<link rel="stylesheet" href="http://example.org/x.css">', '<p style="background: url(https://example.org/)">',
    "<style>@import 'https://example.org/x.css'</style>", '<svg><use href="https://example.org/x.svg#a"/></svg>',
])
def test_what_comes_from_other_hosts_is_seen(text: str):
    assert any(map(_elsewhere, _loaded(BeautifulSoup(text, "html.parser"))))


def test_each_page_says_what_it_applies_to_when_it_was_run_and_where_its_source_is():
    for page in guide.pages().values():
        facts = guide.words(html(page).find(class_="page-facts").text)
        applies_to = page.metadata.get("applies_to", "Xen 4.17 (Debian 12)")
        assert re.match(rf"Applies to {re.escape(applies_to)}.*\. Last run: \S.*\.", facts), facts
        assert f"source/{page.name}.md" in facts
        assert (guide.ROOT / page.file).is_file()


def test_a_page_can_be_edited_where_that_is_known(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("EDIT_URL", "https://example.org/edit/main/")
    monkeypatch.setenv("SITE_URL", "https://example.org/guide/")
    (tmp_path / "index.md").write_text("# Page\n\nWords.\n\n```{toctree}\nother\n```\n")
    (tmp_path / "other.md").write_text("# Other\n\nMore words.\n")
    guide.sphinx("html", tmp_path / "out", source=tmp_path)
    page = BeautifulSoup((tmp_path / "out/other.html").read_text(), "html.parser")
    assert page.find("a", string="Edit this page")["href"] == "https://example.org/edit/main/source/other.md"
    missing = BeautifulSoup((tmp_path / "out/404.html").read_text(), "html.parser")
    assert [link["href"] for link in missing.find_all("a")] == ["/guide/index.html", "/guide/search.html"]
    assert "(https://example.org/guide/other.html)" in (tmp_path / "out/llms.txt").read_text()


def test_the_text_for_programs_is_all_pages_with_their_examples():
    listed = guide.built("html/llms.txt").read_text(encoding="utf-8")
    assert listed.startswith("# Securing Xen\n\n> Whoever controls Domain-0")
    assert set(re.findall(r"\]\((.*?)\.html\)", listed)) == set(guide.pages())
    text = guide.built("html/llms-full.txt").read_text(encoding="utf-8")
    assert "literalinclude" not in text
    for page in guide.pages().values():
        assert f"# {next(page.doctree.findall(nodes.title)).astext()}\n" in text or page.name == "reference/glossary"
        for block in guide.blocks(page):
            if block.kind == "example":
                assert block.text.strip() in text, block.where


def test_the_checklist_leads_to_a_section_for_each_check_and_can_be_ticked():
    page = html(guide.pages()["reference/checklist"])
    checks = page.select("article section section li")
    assert len(checks) > 15
    for check in checks:
        assert re.match(r"☐ [^.]+\. See .+\.$", guide.words(check.text)) and check.find("a", class_="internal"), check
    assert [heading.text.partition(":")[0] for heading in page.select("article h2")] == ["Critical", "High", "Medium"]
