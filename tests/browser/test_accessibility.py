# SPDX-License-Identifier: MIT
"""axe-core finds no violation on any page: in light, in dark, and on a phone."""
from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_every_page import PAGES

LOOKS = [("light", WIDE), ("dark", WIDE), ("light", NARROW)]
FALSE_POSITIVES: dict[str, str] = {}
"""Rules of axe that are not applied, each with the reason."""
ONE_OF_EACH = """() => {
    const seen = new Set();
    for (const token of document.querySelectorAll("pre span[class]")) {
        const key = token.closest("[class^=highlight-]")?.className + token.className;
        if (seen.has(key)) token.replaceWith(...token.childNodes);
        seen.add(key);
    }
}"""
"""A highlighter gives a kind of word one colour on a page: axe, which is slow, looks at one of each."""


def violations(page: Page) -> list[str]:
    """What axe finds on a page as it is now, a line for each element."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{page.url}: {rule['id']}: {rule['help']}: {node['html'][:150]}: {node['failureSummary'][-150:]}"
            for rule in found if rule["id"] not in FALSE_POSITIVES for node in rule["nodes"]]


@pytest.mark.parametrize("name", PAGES)
def test_no_violation(visit, name: str):
    page = visit().open(name)
    page.evaluate(ONE_OF_EACH)
    for scheme, viewport in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(viewport)
        assert violations(page) == [], (scheme, viewport)


def test_no_violation_where_values_came_with_a_link(visit):
    page = visit().open("scenarios/untrusted-subnet.html#values:peer_address=192.0.2.9&relocation_port=22")
    page.evaluate(ONE_OF_EACH)
    for scheme, _ in LOOKS[:2]:
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []


def test_a_violation_is_seen(visit):
    page = visit().open()
    page.evaluate("""() => {
        document.querySelector("h1").style.color = "#eee";
        document.querySelector("article").append(document.createElement("button"));
    }""")
    assert {line.split(": ")[1] for line in violations(page)} == {"color-contrast", "button-name"}
