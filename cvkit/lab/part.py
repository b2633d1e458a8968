"""What every part of the panel is: widgets over a desk, that show what it looks at and say what is wrong."""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from cvkit.errors import CvkitError
from cvkit.lab.desk import Desk
from cvkit.lab.widgets import png

MOST_ROWS = 30  # of a table that stands for a part


class Part(ipywidgets.VBox):  # type: ignore[misc]
    """One part of the panel. It is brought up to date when it is seen, and not before.

    `table` is what it shows, as a DataFrame; `figure` what stands for it where there is no browser.
    """

    title = ""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.table = pd.DataFrame()
        self.figure: Figure | None = None
        self.note = ipywidgets.HTML()
        self.note.add_class("cvkit-says")
        self.add_class("cvkit-lab")
        with telling(self.note):
            self.children = (self.note, *self.build())

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Make the widgets, once."""
        raise NotImplementedError

    def renew(self) -> None:
        """Show what the desk looks at now."""
        raise NotImplementedError

    def refresh(self) -> None:
        """As `renew`; what is wrong is said in place of an error."""
        with telling(self.note):
            self.renew()

    def on(self, widget: ipywidgets.Widget, do: Callable[[], None], name: str = "value") -> None:
        """Call `do` whenever a person changes `widget`; what is wrong is said in place of an error."""

        def changed(_: Any) -> None:
            with telling(self.note):
                do()

        if isinstance(widget, ipywidgets.Button):
            widget.on_click(changed)
        else:
            widget.observe(changed, name)

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        return dict(super()._repr_mimebundle_(**more) or {}) | self.still()

    def still(self) -> dict[str, str]:
        """What stands for it where no browser runs widgets, by mime type: its figure, else its table."""
        if self.figure is not None:
            return picture(png(self.figure))
        return {"text/html": rows(self.table.head(MOST_ROWS))} if len(self.table) else {}


def picture(content: bytes) -> dict[str, str]:
    """A PNG by its mime type, as notebooks keep it."""
    return {"image/png": base64.b64encode(content).decode()}


@contextmanager
def telling(note: ipywidgets.HTML) -> Iterator[None]:
    """Say in `note` what goes wrong meanwhile: a person's mistakes in full; of faults of cvkit's own that they are."""
    try:
        yield
        note.value = ""
    except CvkitError as error:
        note.value = box(str(error))
    except Exception as error:
        note.value = box(
            f"This is a fault of cvkit's own, {type(error).__name__}: the log of Jupyter says where. Please report it."
        )
        raise


def later(note: ipywidgets.HTML, do: Callable[[], None], seconds: float = 0.01) -> bool:
    """Call `do` once the kernel has answered; False where none runs, so that nobody would."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False

    def call() -> None:
        said = ipywidgets.HTML()
        with telling(said):
            do()
        note.value = said.value or note.value  # what was said meanwhile stays

    loop.call_later(seconds, call)
    return True


def box(text: str) -> str:
    """Words in a box that asks for attention, as HTML."""
    return f'<div class="cvkit-note" role="alert">{html.escape(text)}</div>'


def marked(text: str) -> str:
    """Markdown of `wording`, in which whatever others wrote is escaped, as HTML."""
    import markdown

    return markdown.markdown(text, extensions=["tables"])


def rows(frame: pd.DataFrame) -> str:
    """A small table as HTML; whatever is in it is shown as text."""
    return frame.to_html(index=False, border=0, escape=True, na_rep="-", float_format=lambda value: f"{value:.3g}")
