"""The gallery: every diagram on a real run, with the line that made it and buttons that need no installation.

`make book` runs this and writes `docs/gallery.html` and `docs/viewer.html`. The lines shown are the lines that were run.
Diagrams of one run move together: a step in one is the same moment in the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from minivisor.views.modules import script
from minivisor.views.page import PAGE, element, json_text, modules, ratio
from minivisor.views.svg import NOTICE, style
from minivisor.views.view import View
from minivisor.views.viewer import viewer

__all__ = ["LINES", "SETUP", "gallery", "made", "main"]

SETUP = """\
from minivisor import Phone, guests
from minivisor.views import *
from minivisor.views.code import elf_reader
from minivisor.views.phone import picture

phone = Phone(slice="100us", list_registers=1, cost="kvm-arm-2016")
frames = [picture(phone.run("2ms"), "switched on")]
phone.type("hello", phone.personal, at=11_120_000)
frames += [picture(phone.run("38ms"), "typed hello")]
phone.switch()
frames += [picture(phone.run("20ms"), "work was brought to the front")]
phone.personal.stage2.protect(0x40200000, 1 << 21, "r")
"""
LINES = {
    "phone": "PhoneView(frames)",
    "timeline": 'Timeline(phone.trace, 0, 3_000_000, code=elf_reader(guests.path("persona")))',
    "scheduler": "Scheduler(phone.trace, 0, 20_000_000)",
    "lists": "ListRegisters(phone.trace, 11_000_000, 13_000_000)",
    "world": "WorldSwitch(phone.trace)",
    "walk": 'TwoStageWalk([phone.walk(0xFFFFFF804020C000, phone.personal, "w"), phone.walk(0xFFFFFF8040202D80, kind="x")])',
    "pages": 'PageOwnership(phone.trace, fixed=[(0x80000000, 2 << 20, "hypervisor")])',
    "register": 'RegisterExplorer("HCR_EL2", 0x80000001, others=["ESR_EL2", "VTCR_EL2", "VTTBR_EL2", "SCTLR_EL1", "TCR_EL1"])',
}


def made() -> dict[str, View]:
    """The diagrams, by running the lines above."""
    names: dict[str, object] = {}
    exec(SETUP, names)
    return {name: eval(line, names) for name, line in LINES.items()}


SECTION = """<article><h2 id="{name}">{title}</h2>
{element}
<p class="bar"><button type="button" data-work="copy" data-name="{name}">Copy embed</button>
<button type="button" data-work="html" data-name="{name}">Download HTML</button>
<button type="button" data-work="svg" data-name="{name}">Download SVG</button>
<span id="said-{name}" role="status"></span></p>
<pre tabindex="0" role="region" aria-label="How {title} was made"><code>{line}</code></pre></article>"""
STYLE = """
h1{position:static;width:auto;height:auto;clip-path:none;font:650 26px system-ui,sans-serif;margin:16px 0 4px}
h2{font:650 19px system-ui,sans-serif;margin:34px 0 8px}
.lead{font:15px/1.5 system-ui,sans-serif;margin:4px 0 12px;max-width:70ch}a{color:#0b5cad}
pre{font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;background:#f3f5f8;color:#1a1f26;padding:10px 12px;border-radius:8px;
 overflow-x:auto}
.bar{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:8px 0;font:14px system-ui,sans-serif}
.bar button{font:inherit;min-height:36px;padding:4px 12px;border-radius:7px;border:1px solid #525c68;background:#f3f5f8;
 color:#1a1f26;cursor:pointer}
@media (prefers-color-scheme:dark){a{color:#7cc0ff}pre,.bar button{background:#1f242b;color:#e9edf2;border-color:#aab4c0}}"""
LEAD = """<p class="lead">A phone with two people in it, run for 60 ms of its own time, and looked at in eight ways. Step
with the buttons or the arrow keys; diagrams of the run move together. Each can be taken along: as an embed, as a page, as a
picture. <a href="viewer.html">Open a trace of your own.</a></p>
<pre tabindex="0" role="region" aria-label="The run"><code>{setup}</code></pre>"""


def gallery(shown: Mapping[str, View]) -> str:
    """The page with these diagrams."""
    sections = "\n".join(
        SECTION.format(name=name, title=escape(view.facts.title), element=element(view), line=escape(LINES[name]))
        for name, view in shown.items()
    )
    base = next(iter(shown.values())).facts.style
    own = re.sub(r"\{(title|body|scripts)\}", r"{{\1}}", PAGE).format(style=base)
    told = {
        "page": own,
        "notice": NOTICE,
        "svgStyle": style(base),
        "titles": {name: view.facts.title for name, view in shown.items()},
        "ratios": {name: "{}/{}".format(*ratio(view)) for name, view in shown.items()},
    }
    parts = f'<script type="application/json" id="parts">{json_text(json.dumps(told))}</script>'
    scripts = (
        f'<script id="host">{script("host")}</script>\n{modules(shown)}\n{parts}\n<script>{script("gallery")}</script>'
    )
    lead = LEAD.format(setup=escape(SETUP))
    return PAGE.format(title="minivisor in diagrams", style=base + STYLE, body=f"{lead}\n{sections}", scripts=scripts)


def main(folder: Path) -> None:
    """Write gallery and viewer into a folder."""
    for name, text in (("gallery", gallery(made())), ("viewer", viewer())):
        (folder / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")
        print(f"{folder / name}.html: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[2] / "docs")
