# SPDX-License-Identifier: MIT
"""The site that `make` built, in a real browser. Nothing that a test does there may reach beyond the site's own server,
break the policy that the pages state, or make a script fail: each test ends with a look at that."""
from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import guide

BROWSERS = ("chromium", "google-chrome")
"""Debian's, and the one that Ubuntu users and GitHub's machines have; Ubuntu's own cannot be driven from outside."""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Handler(SimpleHTTPRequestHandler):
    """Serves the files, silently; what is missing gets the site's own page about that, as on GitHub Pages."""

    def log_message(self, format: str, *arguments: object) -> None:
        """The tests look at the requests in the browser."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        body = Path(self.directory, "404.html")
        if code != 404 or not body.is_file():
            return super().send_error(code, message, explain)
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.read_bytes())
        return None


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the site, with the slash at its end."""
    handler = functools.partial(Handler, directory=str(guide.built("html")))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a worker; each visitor has storage of their own in it."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser: opens pages, and notes what these request and what the browser complains of."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.context, self.site = context, site
        self.requests: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(15_000)
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(f"{error.page.url}: {error.error}"))
        context.on("console", lambda message: self.complaints.append(f"{message.location['url']}: {message.text}")
                   if message.type in ("error", "warning") else None)

    def open(self, name: str = "index.html") -> Page:
        """A page of the site, in a tab of its own; its scripts have run."""
        page = self.context.new_page()
        page.goto(self.site + name)
        return page

    def elsewhere(self) -> list[str]:
        """The requests that left the site."""
        own = urlsplit(self.site).netloc
        return [url for url in self.requests if urlsplit(url).scheme not in ("data", "blob")
                and urlsplit(url).netloc != own]


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Callable[..., Visitor]]:
    """Let somebody come: takes what a browser's context takes, such as ``color_scheme`` or ``viewport``."""
    visitors: list[Visitor] = []

    def come(**options: object) -> Visitor:
        context = browser.new_context(**({"viewport": WIDE, "reduced_motion": "reduce"} | options))
        visitors.append(Visitor(context, site))
        return visitors[-1]

    yield come
    for visitor in visitors:
        visitor.context.close()
    for visitor in visitors:
        assert visitor.elsewhere() == []
        assert visitor.complaints == []
