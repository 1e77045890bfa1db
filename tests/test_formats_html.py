# SPDX-License-Identifier: MIT
"""The site that `make` built: complete, self-contained, and right where it is put together from parts."""
from __future__ import annotations

import functools
import hashlib
import re
from base64 import b64encode
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup

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
