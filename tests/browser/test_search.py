# SPDX-License-Identifier: MIT
"""The search finds what an administrator looks for: a port, an option, a command."""
from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NARROW


@pytest.mark.parametrize(("query", "wanted"), [
    ("8002", "What listens on Domain-0"),
    ("xend-relocation-address", "xend's relocation options"),
    ("xl migrate", "Receive guests by xl"),
    ("nft 8002", "The isolated management network"),
])
def test_it_is_found(visit, query: str, wanted: str):
    page = visit(viewport=NARROW).open(f"search.html?q={query}")
    results = page.locator("ul.search > li")
    expect(results.filter(has_text=wanted)).not_to_have_count(0)
    link = results.filter(has_text=wanted).first.get_by_role("link").first
    link.click()
    expect(page.locator("h1")).to_contain_text(wanted)


def test_the_field_of_every_page_leads_to_the_results(visit):
    page = visit().open("scenarios/untrusted-subnet.html")
    page.locator(".sidebar-search").fill("8002")
    page.keyboard.press("Enter")
    expect(page.locator("ul.search > li").first).to_be_visible()
    assert "/search.html?q=8002" in page.url


def test_what_is_nowhere_is_not_found(visit):
    page = visit().open("search.html?q=800299")
    expect(page.locator("#search-results")).to_contain_text("did not match any documents")
