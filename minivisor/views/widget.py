"""A live view in JupyterLab, by anywidget: the module as it is, state once, and the step in both directions."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from minivisor.errors import MissingPartError, fault

if TYPE_CHECKING:
    from minivisor.views.view import View

__all__ = ["widget"]


def widget(view: View) -> Any:
    """An anywidget for a view; when a reader moves it, the view hears of it."""
    if find_spec("anywidget") is None:
        raise MissingPartError(fault("views", "no anywidget", "it for live views: pip install minivisor[notebooks]"))
    import anywidget
    import traitlets

    class Live(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = view.esm
        state = traitlets.Dict().tag(sync=True)
        step = traitlets.Int(-1).tag(sync=True)
        ui = traitlets.Dict().tag(sync=True)

    live = Live(state=view.live_state(), step=view._step)
    live.observe(lambda change: view._moved(live.step, live.ui), names=["step", "ui"])
    return live
