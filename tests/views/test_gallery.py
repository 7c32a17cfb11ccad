"""The gallery that `make book` writes: the lines shown are the lines run, the buttons work offline, and views move together."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from minivisor.views import VIEWS
from minivisor.views.gallery import LINES, SETUP, gallery, made
from tests.views.browser import opened, violations

pytestmark = pytest.mark.needs("chromium", "playwright")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gallery") / "gallery.html"
    file.write_text(gallery(made()), encoding="utf-8")
    return file


def test_it_shows_every_diagram_with_the_line_that_made_it(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    shown = [unescape(line) for line in re.findall(r"<code>(.*?)</code>", text, re.S)]
    assert shown == [SETUP, *LINES.values()] and set(LINES) == set(VIEWS)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_taken_along_a_diagram_works_alone(browser: Any, page_file: Path, tmp_path: Path) -> None:
    for name in LINES:
        with opened(browser, page_file, accept_downloads=True) as found:  # afresh: Chromium held back one of many
            for work, ending in (("html", "html"), ("svg", "svg")):
                with found.page.expect_download() as waiting:
                    found.page.locator(f'button[data-work={work}][data-name="{name}"]').click()
                waiting.value.save_as(tmp_path / f"{name}.{ending}")
                assert waiting.value.suggested_filename == f"minivisor-{name}.{ending}"
            picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
            assert ElementTree.fromstring(picture).tag.endswith("svg") and "MIT" in picture
    for name in LINES:
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert "Permission is hereby granted" in page and not re.search(r"GPL|GNU", page)
        assert len(page) <= 200_000, name
    with opened(browser, tmp_path / "timeline.html") as found:
        found.page.locator("section .stage").focus()
        found.page.keyboard.press("End")
        assert len(set(found.page.locator("section .tools .n").inner_text().split(" / "))) == 1


def test_a_copied_embed_needs_nothing_else(browser: Any, page_file: Path, tmp_path: Path) -> None:
    with opened(browser, page_file) as found:
        # No clipboard may be read in a test: what is put there is caught on its way.
        found.page.evaluate(
            "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (s) => { globalThis.copied = s } } })"
        )
        found.page.locator('button[data-work=copy][data-name="lists"]').click()
        found.page.get_by_text("Copied: paste it into a page").wait_for()
        snippet = found.page.evaluate("copied")
    shape = (
        '<iframe srcdoc="[^"]+" title="List registers" loading="lazy" sandbox="allow-scripts" style="[^"]*aspect-ratio:'
    )
    assert re.match(shape, snippet)
    (tmp_path / "post.html").write_text(f"<!doctype html><title>post</title><p>Look:</p>{snippet}", encoding="utf-8")
    with opened(browser, tmp_path / "post.html", wait="") as found:
        found.page.frame_locator("iframe").locator("section .stage svg").first.wait_for()


def test_diagrams_of_one_run_move_together(browser: Any, page_file: Path) -> None:
    """A step in the scheduler is the same moment in the timeline; a diagram of something else stays."""
    with opened(browser, page_file) as found:

        def said(name: str) -> str:
            return str(found.page.locator(f'minivisor-view[name="{name}"] section .say').inner_text())

        before = {name: said(name) for name in LINES}
        found.page.locator('minivisor-view[name="scheduler"] section .stage').focus()
        for _ in range(5):
            found.page.keyboard.press("ArrowRight")
        time = re.search(r"At ([\d.]+ \S+): ", said("scheduler"))
        assert time and f"At {time[1]}, " in said("timeline") and said("timeline") != before["timeline"]
        assert said("register") == before["register"]
        found.page.locator('minivisor-view[name="world"] section .stage').focus()
        found.page.keyboard.press("Home")
        time = re.search(r" at ([\d.]+ \S+): ", said("world"))
        assert time and f"At {time[1]}, " in said("timeline")
        for name in ("scheduler", "timeline"):
            assert found.page.locator(f'minivisor-view[name="{name}"] section .stage .now').count() > 0


def test_axe_finds_nothing_around_the_diagrams(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as found:
        wanted = (
            "heading-order",
            "label",
            "link-name",
            "button-name",
            "region",
            "duplicate-id",
            "page-has-heading-one",
        )
        assert violations(found.page, *wanted) == []
