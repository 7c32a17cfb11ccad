"""Static pages: one file that works from `file://`, in a sandboxed frame, and where a policy allows only inline scripts.

    <minivisor-view name=…>  the first frame, drawn here: what a reader without script sees   ┐ replaced by the live
        <script type="application/json">  state, every < escaped                             ┘ view when it runs
    <script>                the host: model and custom element
    <script type="module">  the module of each diagram, the same text as in a notebook

Nothing is loaded, and no text that came from a trace is ever markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from minivisor.views.modules import module, script

if TYPE_CHECKING:
    from minivisor.views.view import View

__all__ = ["PAGE", "element", "iframe", "inline_frame", "json_text", "modules", "page", "ratio"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body{{margin:0;padding:8px;background:#fff;color:#1a1f26}}
@media (prefers-color-scheme:dark){{body{{background:#15181d;color:#e9edf2}}}}
main{{max-width:1072px;margin:0 auto}}minivisor-view{{display:block;margin:0 0 12px}}
h1{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;margin:0}}
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
{scripts}
</body>
</html>
"""
MORE = 250  # pixels of title, buttons and words around a picture


def json_text(text: str) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def element(view: View) -> str:
    """A diagram's element: its first frame, and the state for the rest."""
    frame, facts = view.frame(), view.facts
    still = (
        f'<div class="mv"><p class="title">{escape(facts.title)}</p><p class="ask">{escape(facts.question)}</p>'
        f'<div class="stage">{frame.svg}</div><p class="say">{escape(frame.say)}</p></div>'
    )
    state = json_text(view.as_json())
    return (
        f'<minivisor-view name="{view.name}">{still}<script type="application/json">{state}</script></minivisor-view>'
    )


def modules(names: Iterable[str]) -> str:
    """The module of each of these diagrams, once, inline."""
    return "\n".join(
        f'<script type="module" data-module="{name}">{module(name)}</script>' for name in dict.fromkeys(names)
    )


def page(views: Sequence[View], title: str = "") -> str:
    """One page with some diagrams. Those of one trace move together."""
    return PAGE.format(
        title=escape(title or ", ".join(dict.fromkeys(view.facts.title for view in views))),
        style=views[0].facts.style,
        body="\n".join(map(element, views)),
        scripts=f"<script>{script('host')}</script>\n{modules(view.name for view in views)}",
    )


def ratio(view: View) -> tuple[int, int]:
    """Width and height of the whole view, in pixels."""
    frame = view.frame()
    height = float(frame.svg.partition(' height="')[2].partition('"')[0])
    return 760, round(height) + MORE + (260 if frame.detail else 0)


def iframe(view: View, source: str) -> str:
    """A frame that shows the page at `source`, keeps its proportions at any width, and needs no script around it."""
    width, height = ratio(view)
    return (
        f'<iframe src="{escape(source, quote=True)}" title="{escape(view.facts.title)}" loading="lazy" sandbox="allow-scripts" '
        f'style="width:100%;aspect-ratio:{width}/{height};border:0"></iframe>'
    )


def inline_frame(view: View) -> str:
    """The same with the page inside, for a notebook without anywidget."""
    width, height = ratio(view)
    return (
        f'<iframe srcdoc="{escape(page([view]), quote=True)}" title="{escape(view.facts.title)}" sandbox="allow-scripts" '
        f'style="width:100%;aspect-ratio:{width}/{height};border:0"></iframe>'
    )
