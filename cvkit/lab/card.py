"""Card: what the model card and other documents lack, and people's words in them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import ipywidgets
import pandas as pd

from cvkit.commands.alerts import user
from cvkit.documentation import documents, facts, sections
from cvkit.documentation.facts import Fact, Known
from cvkit.documentation.sections import Draft, Section
from cvkit.documentation.site import safe_words
from cvkit.lab.part import Part, later
from cvkit.tables import SIGNS

GUIDE = "<!-- guide:"


class Card(Part):
    """How complete a document is, and a form for the words that people write into it.

    `table`: its sections with `section`, `heading`, `written` and `draft`; `checked`: what is missing, stale or
    contradictory.
    """

    title = "Model card"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """The document, what is the matter with it, and the form."""
        self.author, self._reading = user(), False
        self._found: dict[str, Section] = {}
        self._known: Known | None = None
        self._told: dict[str, Fact] = {}
        self._past: pd.DataFrame | None = None  # the desk's, when the records were read
        wide = {"style": {"description_width": "80px"}, "layout": {"width": "420px"}}
        self.document = ipywidgets.Dropdown(description="Document", **wide)
        self.section = ipywidgets.Dropdown(description="Section", **wide)
        self.label = ipywidgets.Text(description="About", placeholder="such as a day; may stay empty", **wide)
        self.state, self.lacking, self.guide = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.said, self.seen = ipywidgets.HTML(), ipywidgets.HTML()
        self.words = ipywidgets.Textarea(rows=9, layout={"width": "99%", "max_width": "900px"})
        names = {"begin": "Start it", "fill": "Write its facts anew", "preview": "Preview", "save": "Save",
                 "undo": "Throw the draft away", "mine": "I have seen it"}  # fmt: skip
        self.buttons = {
            name: ipywidgets.Button(description=text, layout={"width": "auto"}) for name, text in names.items()
        }
        for widget, do in ((self.document, self._chose), (self.section, self._ask), (self.words, self._typed)):
            self.on(widget, do)
        for name, do in (("begin", self._begin), ("fill", self._fill), ("preview", self._preview),
                         ("save", self._save), ("undo", self._undo), ("mine", self._rebase)):  # fmt: skip
            self.on(self.buttons[name], do)
        self.start = ipywidgets.HBox([self.label, self.buttons["begin"]])
        missing = ipywidgets.Accordion([self.lacking], titles=["What is missing, stale or contradictory"])
        row = ipywidgets.HBox([self.buttons[name] for name in ("save", "preview", "undo", "fill")])
        self.form = ipywidgets.VBox(
            [self.state, missing, self.section, self.guide, self.buttons["mine"], self.words, row, self.seen]
        )
        return self.document, self.start, self.said, self.form

    def renew(self) -> None:
        """Read the documents anew; what is being typed stays."""
        config = self.desk.config
        started = documents.every(config)
        kinds = {documents.template_of(one) for one in started}
        waiting = [one for one in documents.templates() if one not in kinds or one != documents.CARD]
        options = [(one.replace("-", " "), one) for one in started]
        options += [(f"{one.replace('-', ' ')} (start {'one' if one not in kinds else 'another'})", f"+{one}")
                    for one in waiting if one != documents.CARD or one not in started]  # fmt: skip
        self._fill_options(self.document, options, self.document.value or options[0][1])
        self._chose()

    def _chose(self) -> None:
        if self._reading:
            return
        name = self.document.value
        fresh = name.startswith("+")
        self.start.layout.display = None if fresh else "none"
        self.form.layout.display = "none" if fresh else None
        self.label.layout.display = "none" if name == f"+{documents.CARD}" else None
        if fresh:
            self.said.value = "<p>It begins with everything filled in that is known; people write the rest.</p>"
            return
        self.said.value = ""
        self._read()

    def _read(self) -> None:
        """The document's sections, and how complete it is."""
        config, name = self.desk.config, self.document.value
        path = documents.path_of(config, name)
        text = documents.read(path)
        self._found = {one.name: one for one in sections.sections(text, str(path))}
        typed = sections.drafts(config, name, self.author)
        self.table = pd.DataFrame(
            [[one.name, one.heading, one.written, one.name in typed] for one in self._found.values()],
            columns=["section", "heading", "written", "draft"],
        )
        options = [(_label(one, one.name in typed), one.name) for one in self._found.values()]
        # What somebody was at comes first, then what is not written yet.
        todo = [name for name in self._found if name in typed]
        todo += [one.name for one in self._found.values() if not one.written] or list(self._found)
        chosen = self.section.value if self.section.value in self._found else next(iter(todo), None)
        self._fill_options(self.section, options, chosen)
        self._ask()
        check = partial(self._check, name, text)
        if self._past is not self.desk.past:  # the records are read in a second or two: the form is there before
            self.state.value, self.lacking.value = "<p>Reading the records ...</p>", ""
            if later(self.note, check):
                return
        check()

    def _know(self) -> Known:
        self._known = known = facts.know(self.desk.config, datetime.now(UTC))
        self._told, self._past = dict(facts.told(known)), self.desk.past
        return known

    def _check(self, name: str, text: str) -> None:
        if self._past is not self.desk.past:
            self._know()
        if name != self.document.value or self._known is None:
            return  # another was chosen meanwhile
        where = str(documents.path_of(self.desk.config, name))
        found = self.checked = documents.check(text, self._known, self._told, where, name)
        self.state.value = (
            f"<p><b>{found.percent}</b> complete: {found.done} of {found.of} facts and sections are there. "
            f"<progress max='{found.of}' value='{found.done}'></progress></p>"
        )
        kinds = (("missing", found.missing), ("stale", found.stale), ("contradictory", found.contradictory))
        self.lacking.value = "".join(_listed(kind, lines) for kind, lines in kinds) or "<p>Nothing.</p>"

    def _ask(self) -> None:
        """The chosen section: what is asked for, and the words that are there or were typed."""
        if self._reading:
            return
        section, self.seen.value = self._found.get(self.section.value or ""), ""
        for widget in (self.words, self.guide, self.buttons["save"], self.buttons["preview"], self.buttons["undo"]):
            widget.layout.display = None if section else "none"
        if section is None:
            return
        draft = self._draft
        guide = section.guide.strip().removeprefix(GUIDE).removesuffix("-->").strip()
        other = draft is not None and draft.body != section.body
        self.buttons["mine"].layout.display = None if other else "none"
        note = "" if draft is None else "<p><i>Typed and not saved yet.</i></p>"
        note += _other(section) if other else ""
        self.guide.value = (
            f"<h4>{html.escape(section.heading)}</h4><p>{html.escape(section.question)}</p>"
            f"<p class='cvkit-quiet'>{html.escape(guide)}</p>{note}"
        )
        self._reading = True
        self.words.value = section.words if draft is None else draft.words
        self._reading = False

    @property
    def _draft(self) -> Draft | None:
        return sections.drafts(self.desk.config, self.document.value, self.author).get(self.section.value)

    def _typed(self) -> None:
        """Keep every letter: a kernel may stop at any time."""
        if self._reading:
            return
        section, before = self._found[self.section.value], self._draft
        body = section.body if before is None else before.body
        draft = None if self.words.value.strip() == section.words else Draft(self.words.value, body)
        sections.keep_draft(self.desk.config, self.document.value, self.author, section.name, draft)

    def _preview(self) -> None:
        section = self._found[self.section.value]
        page = safe_words.rendered(sections.page(section, self.words.value), section.name)
        self.seen.value = f'<div class="cvkit-preview"><h3>{html.escape(section.heading)}</h3>{page}</div>'

    def _save(self) -> None:
        self.said.value = ""
        self._typed()  # where that fails nothing else is done
        section, draft, name = self._found[self.section.value], self._draft, self.document.value
        body = section.body if draft is None else draft.body
        try:
            sections.write(self.desk.config, name, section.name, self.words.value, body=body)
            sections.keep_draft(self.desk.config, name, self.author, section.name, None)
        finally:
            self._read()
        self.said.value = f"<p>Saved: {html.escape(section.name)} in {html.escape(str(self._path))}.</p>"

    def _undo(self) -> None:
        sections.keep_draft(self.desk.config, self.document.value, self.author, self.section.value, None)
        self._read()

    def _rebase(self) -> None:
        """Somebody else's words were seen: from now on the draft may take their place."""
        section, draft = self._found[self.section.value], Draft(self.words.value, self._found[self.section.value].body)
        sections.keep_draft(self.desk.config, self.document.value, self.author, section.name, draft)
        self._ask()

    def _begin(self) -> None:
        config, template = self.desk.config, self.document.value.removeprefix("+")
        name = documents.named(template, "" if template == documents.CARD else self.label.value.strip())
        documents.free(config, name)
        documents.start(config, name, self._know(), self._told)
        self._reading = True
        self.document.options = [*self.document.options, (name.replace("-", " "), name)]
        self.document.value = name
        self._reading = False
        self.renew()
        self.said.value = f"<p>Started: {html.escape(str(self._path))}.</p>"

    def _fill(self) -> None:
        done = documents.fill(self.desk.config, self.document.value, self._know(), self._told)
        self._read()
        self.said.value = f"<p>Its facts are as the records are now.</p>{_listed('', done.notes)}"

    @property
    def _path(self) -> object:
        return documents.path_of(self.desk.config, self.document.value)

    def _fill_options(self, widget: ipywidgets.Dropdown, options: Sequence[tuple[str, str]], value: str | None) -> None:
        self._reading = True
        widget.options = options
        names = [name for _, name in options]
        widget.value = value if value in names else next(iter(names), None)
        self._reading = False


def _other(section: Section) -> str:
    return (
        "<p><b>Somebody else changed this section since you began to type.</b> It says now:</p>"
        f"<blockquote>{html.escape(section.words or 'nothing')}</blockquote><p>Put the two together below, then:</p>"
    )


def _label(section: Section, draft: bool) -> str:
    sign, word = (SIGNS["ok"], "written") if section.written else (SIGNS["unknown"], "to do")
    return f"{sign} {section.name.replace('-', ' ')}: {word}{', a draft' if draft else ''}"


def _listed(kind: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    head = f"<p><b>{kind.capitalize()}</b> ({len(lines)})</p>" if kind else ""
    return f"{head}<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
