# SPDX-License-Identifier: MIT
"""Every page of the site, loaded: nothing from elsewhere, nothing against the policy, nothing too wide."""
from __future__ import annotations

import pytest

from tests import guide
from tests.browser.conftest import NARROW, WIDE

PAGES = [*(f"{name}.html" for name in sorted(guide.pages())), "search.html", "404.html"]


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_is_wider_than_its_window(visit, width):
    """And loading it requests nothing from elsewhere and breaks nothing, as after every test here."""
    visitor = visit(viewport=width)
    for name in PAGES:
        page = visitor.open(name)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, name
        page.close()
    assert len(visitor.requests) > 3 * len(PAGES)


def test_a_missing_page_leads_back_from_any_address(visit):
    visitor = visit(java_script_enabled=False)
    page = visitor.open("scenarios/of/long/ago.html")
    assert page.locator("h1").inner_text() == "There is no page here"
    visitor.complaints.clear()  # of the status 404, which is right
    page.get_by_role("link", name="Securing Xen").click()
    assert page.url == f"{visitor.site}index.html"


def test_on_paper_there_is_the_page_and_nothing_to_click(visit):
    page = visit().open("scenarios/isolated-management-network.html")
    page.emulate_media(media="print")
    for what in (".skip-to-content", ".sidebar-drawer", ".toc-drawer", ".mobile-header", "details.values", ".copybtn"):
        assert page.locator(what).count() > 0
        assert not any(each.is_visible() for each in page.locator(what).all()), what


def test_what_leaves_the_site_is_seen_and_refused(visit):
    """The look at the end of each test would see a request to elsewhere; the policy lets none through."""
    visitor = visit()
    page = visitor.open()
    page.evaluate("new Image().src = 'http://127.0.0.2:9/secret.png'")
    page.evaluate("fetch('http://127.0.0.2:9/secret').catch(() => 0)")
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'document.title = "run"';
        document.body.append(script);
    }""")
    page.wait_for_function("1 == 1")
    assert page.title() != "run"
    refused = [complaint for complaint in visitor.complaints if "Content Security Policy" in complaint]
    assert len(refused) >= 3, visitor.complaints
    visitor.complaints.clear()
    visitor.requests.clear()
