"""A real browser for tests: Debian's Chromium by Playwright, pages from `file://`, and every request that left one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import PROGRAMS

__all__ = ["Opened", "launched", "opened", "violations"]

FLAGS = ("--no-sandbox", "--disable-dev-shm-usage")
LOCAL = ("file:", "data:", "blob:", "about:")


@contextmanager
def launched() -> Iterator[Any]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS["chromium"][0])))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, what went wrong in it, and what it asked for outside of this machine."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def step(self) -> str:
        """What the live view's counter says."""
        return str(self.page.locator("section .n").first.inner_text())

    def picture(self) -> str:
        return str(self.page.locator("section .stage").first.inner_html())


@contextmanager
def opened(browser: Any, file: Path, wait: str = "section .stage svg", **options: Any) -> Iterator[Opened]:
    """`file` in a fresh context. options: Playwright's, as in color_scheme="dark". No error and no request may remain."""
    context = browser.new_context(**{"viewport": {"width": 900, "height": 800}, **options})
    found = Opened(context.new_page())
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("console", lambda said: found.errors.append(said.text) if said.type == "error" else None)
    found.page.on("request", lambda made: None if made.url.startswith(LOCAL) else found.requests.append(made.url))
    found.page.goto(file.as_uri())
    if wait:
        found.page.locator(wait).first.wait_for(timeout=10_000)
    yield found
    context.close()
    assert found.errors == [] and found.requests == []


FOUND = """async (rules) => {
  const options = rules.length ? { runOnly: rules } : {};
  const { violations } = await axe.run({ ...options, resultTypes: ["violations"] });
  return violations.map((v) => [v.id, v.nodes.map((n) => n.html).join(" ")]);
}"""


def violations(page: Any, *rules: str) -> list[str]:
    """What axe-core finds by these rules, or by all of them with its best practices: one line each."""
    import axe_playwright_python

    source = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    page.evaluate(source.read_text(encoding="utf-8"))
    return [f"{name}: {nodes[:300]}" for name, nodes in page.evaluate(FOUND, list(rules))]
