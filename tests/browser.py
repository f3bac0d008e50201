"""A real Chromium, and what must be true of every page that it shows."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="the console in a browser, which takes chromium (apt-get install chromium)"
)

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a browser for the length of the block."""
    async with async_playwright() as playwright:
        # Root has no sandbox, and a container's shared memory is small.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page_of(browser: Browser, **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401 - Playwright's
    """Open a page, and see to it that nothing goes wrong on it: no error, nothing that the policy forbids."""
    context = await browser.new_context(**{"viewport": WIDE, **options})
    page = await context.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # A browser tells of each answer that is an error; the page deals with them.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            wrong.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"a dialog: {dialog.message}"))
    try:
        yield page
        assert wrong == []
    finally:
        await context.close()


async def faults_of(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.1 AA and the best practices on a page as it is now."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found.response["violations"]
    ]


async def overflows(page: Page) -> bool:
    """True if the page is wider than its window: parts may scroll, the whole must not."""
    return bool(
        await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )
