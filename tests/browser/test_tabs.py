# SPDX-License-Identifier: MIT
"""Tabs: by mouse, by keyboard, by the address of the page, kept over pages and visits; and all is there without any."""
from __future__ import annotations

import pytest
from docutils import nodes
from playwright.sync_api import Locator, Page, expect

from tests import guide
from tests.browser.conftest import NARROW, WIDE

PAGE = "scenarios/isolated-management-network.html"
OTHER_PAGE = "scenarios/subnet-behind-a-firewall.html"
FIREWALL, TOOLSTACK = "nftables", "libvirt"
"""A label of each group."""


def lists(page: Page, label: str) -> Locator:
    """The groups of tabs that have this label."""
    return page.locator("[role=tablist]").filter(has=page.get_by_role("tab", name=label, exact=True))


def open_tabs(page: Page, label: str) -> set[str]:
    """The open ones of all groups that have this label; each with its panel, and no other panel, shown."""
    found = set()
    for tabs in lists(page, label).all():
        selected = tabs.locator("[aria-selected=true]")
        assert selected.count() == 1
        assert tabs.locator("[tabindex='0']").all_text_contents() == selected.all_text_contents()
        for tab in tabs.get_by_role("tab").all():
            panel = page.locator(f"[id='{tab.get_attribute('aria-controls')}']")
            assert panel.is_visible() == (tab.get_attribute("aria-selected") == "true")
        found.add(selected.inner_text())
    return found


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
def test_both_choices_are_kept_over_pages_and_visits(visit, width):
    visitor = visit(viewport=width)
    page = visitor.open(PAGE)
    lists(page, FIREWALL).first.get_by_role("tab", name="iptables").click()
    lists(page, TOOLSTACK).first.get_by_role("tab", name="xend").click()
    for opened in (page, visitor.open(PAGE), visitor.open(OTHER_PAGE)):
        assert open_tabs(opened, FIREWALL) == {"iptables"}
        assert open_tabs(opened, TOOLSTACK) == {"xend"}
    lists(page, FIREWALL).first.get_by_role("tab", name="nftables").click()
    state = visitor.context.storage_state()
    again = visit(viewport=width, storage_state=state).open(OTHER_PAGE)
    assert open_tabs(again, FIREWALL) == {"nftables"} and open_tabs(again, TOOLSTACK) == {"xend"}


def test_the_keyboard_is_enough(visit):
    page = visit().open(PAGE)
    tabs = lists(page, TOOLSTACK).first
    labels = tabs.get_by_role("tab").all_text_contents()
    assert labels == ["xl", "libvirt", "XAPI", "xend"]
    tabs.get_by_role("tab").first.focus()
    for key, label in [("ArrowRight", "libvirt"), ("End", "xend"), ("ArrowRight", "xl"), ("ArrowLeft", "xend"),
                       ("ArrowLeft", "XAPI"), ("Home", "xl")]:
        page.keyboard.press(key)
        expect(tabs.get_by_role("tab", name=label, exact=True)).to_be_focused()
        assert open_tabs(page, TOOLSTACK) == {label}
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[role=tabpanel]') !== null"), "the open panel comes next"


def test_the_tab_stays_under_the_mouse(visit):
    page = visit().open(PAGE)
    tab = lists(page, FIREWALL).last.get_by_role("tab", name="iptables")
    tab.scroll_into_view_if_needed()
    before = tab.bounding_box()["y"]
    tab.click()
    assert abs(tab.bounding_box()["y"] - before) < 2


def inside() -> list[tuple[str, str]]:
    """The anchors in tabs that are not open by themselves, each with its page."""
    found = []
    for page in guide.pages().values():
        groups = [node for node in page.doctree.findall(nodes.container) if "sphinx-tabs" in node["classes"]]
        for group in groups:
            for panel in group.children[2:]:
                found += [(f"{page.name}.html", ids[0]) for node in panel.findall()
                          if (ids := getattr(node, "attributes", {}).get("ids"))]
    return found


def test_an_anchor_in_a_tab_opens_it(visit):
    visitor = visit()
    targets = [(page, anchor) for page, anchor in inside() if not anchor.startswith(("panel-", "tab-"))]
    for name, anchor in targets[:4]:
        for page in (visitor.open(f"{name}#{anchor}"), visitor.open(name)):
            page.evaluate("anchor => { location.hash = anchor }", anchor)
            expect(page.locator(f"[id='{anchor}']")).to_be_visible()
            expect(page.locator(f"[id='{anchor}']")).to_be_in_viewport()
    # Any element of a closed panel will do.
    page = visitor.open(PAGE)
    closed = page.locator("[role=tabpanel][hidden] .highlight pre[id]").first.get_attribute("id")
    page.evaluate("anchor => { location.hash = anchor }", closed)
    expect(page.locator(f"#{closed}")).to_be_in_viewport()


@pytest.mark.parametrize("how", ["print", "no scripts"])
@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
def test_all_panels_are_shown_where_none_can_be_clicked(visit, how: str, width):
    page = visit(viewport=width, java_script_enabled=how == "print").open(PAGE)
    if how == "print":
        page.emulate_media(media="print")
    for panel in page.get_by_role("tabpanel", include_hidden=True).all():
        expect(panel).to_be_visible()
    assert page.get_by_role("tabpanel").count() > 8
    assert page.get_by_role("tab").count() == 0


@pytest.mark.parametrize("kept", ["null", "{}", "[1, null]", "no JSON", '["<b>", "nftables"]'])
def test_a_page_opens_whatever_is_kept(visit, kept: str):
    visitor = visit()
    visitor.open().evaluate("text => localStorage.setItem('securing-xen-tabs', text)", kept)
    assert open_tabs(visitor.open(PAGE), FIREWALL) == {"nftables"}
