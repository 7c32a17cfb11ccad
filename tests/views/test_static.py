"""Every diagram in a static page, in a real browser: from a file, framed and sandboxed, under strict policies, dark, narrow,
with reduced motion, without script, by keyboard alone; and what an accessibility checker says.

All of them stand on one page, which a browser opens once for each circumstance.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import pytest

from minivisor.views import VIEWS
from minivisor.views.page import page as page_of
from tests.views.browser import opened, violations
from tests.views.examples import EXAMPLES, example

pytestmark = pytest.mark.needs("chromium", "playwright")
POLICIES = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
    "default-src 'none'; script-src 'unsafe-inline'",
)
STEPPED = [name for name in EXAMPLES if example(name).frame().steps > 1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples on one page, none linked to another."""
    made = tmp_path_factory.mktemp("pages") / "all.html"
    made.write_text(page_of([example(name) for name in EXAMPLES], "all of them"), encoding="utf-8")
    return made


def section(page: Any, name: str) -> Any:
    """The live view of one diagram."""
    return page.locator(f'minivisor-view[name="{name}"] section')


def at(live: Any) -> str:
    return str(live.locator(".tools .n").inner_text())


def jump(page: Any, live: Any, key: str) -> None:
    live.locator(".stage").focus()
    page.keyboard.press(key)


def test_there_is_an_example_of_each_diagram() -> None:
    assert set(EXAMPLES) == set(VIEWS)


def test_pages_step_by_keys_and_buttons_and_say_so(browser: Any, file: Path) -> None:
    with opened(browser, file) as found:
        for name in STEPPED:
            live, steps = section(found.page, name), example(name).frame().steps
            jump(found.page, live, "Home")
            first, words = live.locator(".stage").inner_html(), live.locator(".say").inner_text()
            assert at(live) == f"1 / {steps:,}"
            found.page.keyboard.press("ArrowRight")
            assert at(live) == f"2 / {steps:,}" and live.locator(".stage").inner_html() != first
            live.locator("[role=status]").get_by_text(f"Step 2 of {steps}.").wait_for(state="attached")
            jump(found.page, live, "End")
            assert at(live) == f"{steps:,} / {steps:,}"
            live.get_by_role("button", name="Step back").click()
            assert at(live) == f"{steps - 1:,} / {steps:,}"
            live.get_by_role("button", name="First step").click()
            assert (live.locator(".stage").inner_html(), live.locator(".say").inner_text()) == (first, words)


def test_a_click_in_the_picture_goes_there(browser: Any, file: Path) -> None:
    """A moment of a timeline, a descriptor, a group of registers, a field: and what is there is told."""
    with opened(browser, file) as found:
        detail = section(found.page, "timeline").locator(".detail")
        assert "ESR_EL2 = " in detail.inner_text() and detail.locator("svg").count() == 2
        assert detail.locator("pre mark").inner_text().startswith("→ ")
        for name in ("timeline", "scheduler"):
            jump(found.page, live := section(found.page, name), "Home")
            box = live.locator(".stage [data-act=pick]").bounding_box()
            found.page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"])
            assert not at(live).startswith("1 / "), name
        for name in ("walk", "world", "register"):
            jump(found.page, live := section(found.page, name), "End")
            part = live.locator(".stage [data-step]").first
            wanted = int(part.get_attribute("data-step"))
            part.scroll_into_view_if_needed()
            box = part.bounding_box()
            found.page.mouse.click(box["x"] + 6, box["y"] + box["height"] / 2)
            assert at(live).startswith(f"{wanted + 1:,} / "), name


def test_keys_and_buttons_zoom(browser: Any, file: Path) -> None:
    with opened(browser, file) as found:
        for name in ("timeline", "scheduler"):
            stage = (live := section(found.page, name)).locator(".stage")
            before = stage.inner_html()
            live.get_by_role("button", name="Zoom in").click()
            nearer = stage.inner_html()
            stage.focus()
            found.page.keyboard.press("+")
            assert len({before, nearer, stage.inner_html()}) == 3, name
            found.page.keyboard.press("-")
            found.page.keyboard.press("-")
            assert stage.inner_html() == before, name


@pytest.mark.parametrize("state", ["{", '{"state":{}}', "null"], ids=["cut", "empty", "nothing"])
def test_a_state_that_is_broken_is_a_notice_beside_the_picture(browser: Any, state: str, tmp_path: Path) -> None:
    """What was drawn beforehand stays, and nothing is half drawn over it."""
    whole = page_of([example("timeline")])
    text = re.sub(r'(<script type="application/json">).*?(</script>)', rf"\1{state}\2", whole, count=1, flags=re.S)
    (broken := tmp_path / "broken.html").write_text(text, encoding="utf-8")
    with opened(browser, broken, wait="minivisor-view [role=alert]") as found:
        assert "This diagram cannot be shown" in found.page.locator("[role=alert]").inner_text()
        assert found.page.locator("minivisor-view > .mv .stage svg").is_visible()
        assert found.page.locator("section .stage").count() == 0


REACHABLE = """s => s.querySelectorAll('button:not(:disabled),input,select,summary,[tabindex="0"]').length
                 - s.querySelectorAll('details:not([open]) [tabindex]').length"""
FOCUSED = """() => { const root = document.activeElement?.shadowRoot; if (!root) return -1;
  const all = [...document.querySelectorAll('minivisor-view')].flatMap((v) => [...v.shadowRoot.querySelectorAll('*')]);
  return all.indexOf(root.activeElement) }"""


def test_tab_and_enter_alone_reach_everything(browser: Any, file: Path) -> None:
    with opened(browser, file) as found:
        wanted = sum(section(found.page, name).evaluate(REACHABLE) for name in EXAMPLES)
        seen = set()
        for _ in range(wanted + 1):
            found.page.keyboard.press("Tab")
            seen.add(found.page.evaluate(FOCUSED))
        assert len(seen - {-1}) == wanted
        for name in EXAMPLES:
            section(found.page, name).locator("summary").last.focus()
            found.page.keyboard.press("Enter")
            section(found.page, name).locator(".wide table tbody tr").first.wait_for()


@pytest.mark.parametrize("policy", POLICIES)
def test_pages_work_where_only_inline_scripts_may_run(browser: Any, file: Path, policy: str, tmp_path: Path) -> None:
    head = f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">'
    (strict := tmp_path / "strict.html").write_text(
        file.read_text(encoding="utf-8").replace("<head>", head, 1), encoding="utf-8"
    )
    with opened(browser, strict) as found:
        for name in STEPPED:
            jump(found.page, live := section(found.page, name), "End")
            assert len(set(at(live).split(" / "))) == 1
            assert live.locator(".tools").evaluate("e => getComputedStyle(e).display") == "flex"
        # The page's own style element is refused by the second policy, and nothing else: live views do without.
        refused = [error for error in found.errors if "style" in error]
        assert len(refused) == ("style-src" not in policy)
        found.errors[:] = [error for error in found.errors if error not in refused]


def test_pages_work_in_a_sandboxed_frame_of_somebody_elses(browser: Any, file: Path, tmp_path: Path) -> None:
    inner = escape(file.read_text(encoding="utf-8"), quote=True)
    frame = f'<iframe title="x" sandbox="allow-scripts" width=700 height=700 srcdoc="{inner}"></iframe>'
    (post := tmp_path / "post.html").write_text(f"<!doctype html><title>post</title>{frame}", encoding="utf-8")
    with opened(browser, post, wait="") as found:
        inside = found.page.frame_locator("iframe")
        for name in STEPPED:
            live = section(inside, name)
            jump(found.page, live, "End")
            assert len(set(at(live).split(" / "))) == 1


def test_the_first_frame_tells_the_story_without_script(browser: Any, file: Path) -> None:
    with opened(browser, file, wait="minivisor-view .stage svg", java_script_enabled=False) as found:
        for name in EXAMPLES:
            shown, view = found.page.locator(f'minivisor-view[name="{name}"]'), example(name)
            assert shown.locator(".say").inner_text() == view.frame().say
            assert shown.locator(".ask").inner_text() == view.facts.question
            assert shown.locator(".stage svg").bounding_box()["width"] > 300


REDRAWN = "s => { const d = document.createElement('div'); d.innerHTML = s; return d.innerHTML }"


def test_the_frame_that_python_draws_is_the_one_the_browser_draws(browser: Any, file: Path) -> None:
    with opened(browser, file) as found:
        for name in EXAMPLES:
            stage = section(found.page, name).locator(".stage")
            width = int(stage.evaluate("e => Math.min(1040, Math.floor(e.clientWidth))"))
            drawn = example(name).frame(width=width).svg
            assert stage.inner_html() == found.page.evaluate(REDRAWN, drawn), name


def test_axe_finds_nothing(browser: Any, file: Path) -> None:
    with opened(browser, file) as found:
        section(found.page, "walk").locator("summary").click()
        section(found.page, "walk").locator(".wide td").first.wait_for()
        assert violations(found.page) == []


def test_axe_finds_enough_contrast_in_the_dark(browser: Any, file: Path) -> None:
    with opened(browser, file, color_scheme="dark") as found:
        assert violations(found.page, "color-contrast") == []


SMALLEST = """s => Math.min(...[...s.querySelectorAll('.stage svg text')]
  .filter((t) => t.textContent && !t.closest('[transform*=rotate]')).map((t) => t.getBoundingClientRect().height))"""


def test_pages_fit_360_pixels_and_keep_still_where_motion_is_unwelcome(browser: Any, file: Path) -> None:
    narrow = {"viewport": {"width": 360, "height": 700}, "reduced_motion": "reduce", "has_touch": True}
    with opened(browser, file, **narrow) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 360
        for name in EXAMPLES:
            assert section(found.page, name).evaluate(SMALLEST) >= 10, name
        for name in STEPPED:
            before = at(section(found.page, name))
            section(found.page, name).locator("button[data-go=next]:enabled,button[data-go=back]:enabled").last.tap()
            assert at(section(found.page, name)) != before
        assert found.page.evaluate("document.getAnimations().length") == 0
        assert violations(found.page, "target-size", "scrollable-region-focusable", "region") == []


def test_pages_are_dark_where_the_reader_likes_it_or_where_lab_says_so(browser: Any, file: Path) -> None:
    def paper(page: Any) -> str:
        return str(page.locator("section.mv").first.evaluate("s => getComputedStyle(s).backgroundColor"))

    def lab(page: Any, light: str, theme: str) -> None:
        page.evaluate(f"document.body.dataset.jpThemeLight = '{light}'")
        page.locator(f"section[data-theme={theme}]").first.wait_for()

    with opened(browser, file, color_scheme="dark") as found:
        assert paper(found.page) == "rgb(21, 24, 29)"
        lab(found.page, "true", "light")
        assert paper(found.page) == "rgb(255, 255, 255)"
    with opened(browser, file, color_scheme="light") as found:
        lab(found.page, "false", "dark")
        assert paper(found.page) == "rgb(21, 24, 29)"
