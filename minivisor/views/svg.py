"""A frame as an SVG document: no script, nothing to load, light or dark by the reader's setting."""

from __future__ import annotations

import re
from html import escape

from minivisor.views.engine import Facts, Frame

__all__ = ["NOTICE", "document", "style"]

NOTICE = "Drawn by the minivisor view modules. SPDX-License-Identifier: MIT. Copyright (c) 2026 the minivisor authors."


def style(css: str) -> str:
    """The colours of a picture, light and dark, from the CSS of a view."""
    light, dark = re.findall(r"\{(--paper:[^;}]*;[^}]*?--c7:[^;}]*)", css)[:2]
    return f":root{{{light};background:var(--paper)}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def document(frame: Frame, facts: Facts) -> str:
    """The frame's SVG element with the colours it names, a title and a description."""
    head, body = re.match(r"(<svg [^>]*>)(.*)", frame.svg, re.S).groups()  # type: ignore[union-attr]
    told = f"<title>{escape(facts.title)}</title><desc>{escape(f'{facts.question} {frame.say}')}</desc>"
    return f"<!-- {NOTICE} -->\n{head}{told}<style>{style(facts.style)}</style>{body}\n"
