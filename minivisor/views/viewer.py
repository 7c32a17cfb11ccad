"""`viewer.html`: a page that opens anybody's trace file, by drag and drop, with nothing installed.

It reads the format of `minivisor/trace/file.py` itself (`js/reader.js`), checks what is checked there and then draws; a file
that is not right is a sentence on the page and no picture. It is one file, and it asks nobody for anything.
"""

from __future__ import annotations

import json
from typing import Any

from minivisor.arch import descriptors
from minivisor.arch.esr import ESR_EL2, FSC_NAMES
from minivisor.trace.file import VERSION
from minivisor.trace.records import COLUMNS, DTYPE
from minivisor.views.engine import facts
from minivisor.views.modules import script
from minivisor.views.page import PAGE, json_text, modules
from minivisor.views.records import described, forms, schema
from minivisor.views.walk import FORMS
from minivisor.views.world import groups_state

__all__ = ["viewer"]

SHOWN = ("timeline", "scheduler", "lists", "world", "pages", "walk")
FIRST = ("timeline", "scheduler")
BOX = '<label><input type="checkbox" name="diagram" value="{}"{}> {}</label>'
BODY = """<p class="lead">Drop a trace file here, or choose one. It stays on this machine.</p>
<div id="drop" class="mv"><label>Trace file <input type="file" id="file"></label>
<fieldset><legend>Diagrams</legend>{boxes}</fieldset>
<p id="status" role="status" aria-live="polite">No file yet. <code>minivisor phone --trace run.trace</code> makes one.</p></div>
<div id="place"></div>
<script type="application/json" id="known">{known}</script>"""
STYLE = """
h1{position:static;width:auto;height:auto;clip-path:none;font:650 22px system-ui,sans-serif;margin:12px 0 0}
.lead{font:15px system-ui,sans-serif;margin:4px 0 12px}#drop{border-style:dashed;border-width:2px;margin-bottom:14px}
#drop.over{background:var(--glow);border-color:var(--accent)}#drop fieldset{border:0;padding:0;margin:10px 0 6px}
#drop fieldset label{margin-right:14px;color:var(--ink)}#status.wrong{color:var(--bad);font-weight:600}
#drop input[type=checkbox]{min-height:18px;min-width:18px}"""


def viewer() -> str:
    """The page."""
    boxes = "".join(BOX.format(name, " checked" * (name in FIRST), facts(name).title) for name in SHOWN)
    body = BODY.format(boxes=boxes, known=json_text(json.dumps(_known(), separators=(",", ":"))))
    before, after = f"<script>{script('host')}</script>\n{modules(SHOWN)}", ("reader", "viewer")
    tail = "\n".join([before, *(f"<script>{script(name)}</script>" for name in after)])
    return PAGE.format(title="minivisor trace viewer", style=facts("timeline").style + STYLE, body=body, scripts=tail)


def _known() -> dict[str, Any]:
    """What the page knows of the format, of kinds and of registers."""
    columns = [[name, DTYPE[name].str] for name in COLUMNS]
    registers = {name: described(getattr(descriptors, name)) for name in FORMS}
    state = {
        "esr": described(ESR_EL2),
        "forms": forms(),
        "exits": {},
        "code": {},
        "list_registers": 1,
        "groups": groups_state(),
        "descriptors": registers,
        "fsc": {str(int(fsc)): words for fsc, words in FSC_NAMES.items()},
    }
    return {
        "format": {"version": VERSION, "columns": columns},
        "schema": schema(),
        "state": state,
    }
