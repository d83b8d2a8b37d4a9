"""A real browser for tests: pages of it that watch what goes wrong, and what a test may ask of a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on the PATH: apt-get install chromium")

PATIENCE = 120_000
"""Milliseconds for which what must happen on a page is waited for, on a machine that may be busy."""

LOUD = ("error", "warning", "trace")
"""What the console of a page may not say; Plotly warns by a trace."""

PAUSE = 50
"""Milliseconds between two looks at a page."""

LIGHT, DARK, PHONE = ("light", 1280), ("dark", 1280), ("light", 400)
"""How a page is looked at: colour scheme, and width in CSS pixels."""


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser for as long as the block runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # containers rarely let it make a sandbox, and have little shared memory
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page of a browser, and what went wrong on it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    """What the console says, and what scripts raise."""
    foreign: list[str] = field(default_factory=list)
    """What was asked of other machines; none of it was sent."""

    def go(self, address: str) -> None:
        """Open an address, and wait until the page has what it first asks for."""
        self.page.goto(address, wait_until="load")

    def wait_for(self, script: str, given: Any = None) -> None:
        """Wait until a function in JavaScript is true.

        It is asked from outside: the policy of our pages lets nothing within them evaluate a text.
        """
        for _ in range(PATIENCE // PAUSE):
            if self.page.evaluate(script, given):
                return
            self.page.wait_for_timeout(PAUSE)
        raise AssertionError(f"never true: {script}")

    def draw_all(self) -> dict[str, int]:
        """Bring every figure of ours into view; return how many values each has drawn, none of those that are empty."""
        for figure in self.page.locator("figure[data-figure], figure[data-inline]").all():
            figure.evaluate("each => each.scrollIntoView()")
            self.wait_for(
                "each => each.hidden || each.querySelector('.js-plotly-plot .main-svg')", figure.element_handle()
            )
        return self.page.evaluate(
            "() => Object.fromEntries([...document.querySelectorAll('figure .js-plotly-plot')].map("
            f"plot => [plot.closest('figure').querySelector('h3').innerText, ({VALUES})(plot)]))"
        )

    def overflows(self) -> bool:
        """Whether the page has to be scrolled sideways."""
        return self.page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth")

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out: what it calls serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


VALUES = """plot => plot.data.flatMap(trace => [trace.y, trace.x, trace.z, trace.source]).reduce(
    (all, values) => all + (values?.length ?? Object.keys(values?._inputArray ?? {}).length), 0)"""
"""In JavaScript: how many values a figure of Plotly has drawn."""


@contextmanager
def tab(browser: Any, look: tuple[str, int] = LIGHT) -> Iterator[Tab]:
    """A new page that is closed after the block, which fails where the console had errors or the network was asked."""
    scheme, width = look
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    opened = Tab(context.new_page())

    def check(route: Any) -> None:
        place = urlsplit(route.request.url)
        if place.scheme in ("http", "https", "ws", "wss") and place.hostname != "127.0.0.1":
            opened.foreign.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    context.route("**/*", check)
    opened.page.on("console", lambda said: opened.errors.append(said.text) if said.type in LOUD else None)
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    try:
        yield opened
    finally:
        context.close()
    assert opened.foreign == []
    assert opened.errors == []
