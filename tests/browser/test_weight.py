# SPDX-License-Identifier: MIT
"""What the first load of a page weighs, everything that it requests counted, compressed as a server sends it."""
from __future__ import annotations

import gzip
from urllib.parse import urlsplit

import pytest

from tests import guide

LIMIT = 70_000
"""Bytes."""
TEXT = {".html", ".css", ".js", ".svg"}


@pytest.mark.parametrize("name", [name for name in guide.pages() if name.startswith("scenarios/")] + ["index"])
def test_the_first_load_is_light(visit, name: str):
    visitor = visit()
    page = visitor.open(f"{name}.html")
    page.wait_for_load_state("networkidle")
    weights = {}
    for url in visitor.requests:
        file = guide.built("html") / urlsplit(url).path.lstrip("/")
        data = file.read_bytes()
        weights[file.name] = len(gzip.compress(data, 6)) if file.suffix in TEXT else len(data)
    assert f"{name.rpartition('/')[2]}.html" in weights and len(weights) > 8
    print(f"{name}: {sum(weights.values())} bytes")
    assert sum(weights.values()) <= LIMIT, weights


def test_no_script_holds_the_page_up(visit):
    """Scripts wait until the page has been read; only furo's, which sets the theme, is run before."""
    page = visit().open("scenarios/untrusted-subnet.html")
    blocking = page.evaluate("""() => [...document.querySelectorAll('script[src]')]
        .filter(script => !script.defer && !script.async)
        .filter(script => !document.body.contains(script)).map(script => script.src)""")
    assert blocking == []
