"""`cvkit card` and `cvkit template`: documents that keep people's words and fill their facts in themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvkit import errors

if TYPE_CHECKING:
    from cvkit.config import Config

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Start, fill and check the model card, which fills its facts in itself."
    parts = commands.add_parser("card", help=words, description=words).add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    made = [workspace_command(parts, one.__name__, one) for one in (new, fill, check, diff)]
    for command in made[1:]:
        words = "another document, as `cvkit template list` names it (default: the model card)"
        command.add_argument("--document", default="", metavar="NAME", help=words)
    words = "List the templates of documents, start one, and see a filled example."
    parts = commands.add_parser("template", help=words, description=words).add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    made += [workspace_command(parts, "list", list_templates), workspace_command(parts, "new", new_document)]
    made.append(workspace_command(parts, "example", show_example))
    for command in made[-2:]:
        command.add_argument("name", metavar="NAME", help="of the template, as `cvkit template list` has it")
    words = "what this document is about, such as a day: there may be one for each"
    made[-2].add_argument("label", metavar="LABEL", nargs="?", default="", help=words)
    for command in made:
        command.set_defaults(say=say)


def new(options: argparse.Namespace) -> int:
    """Start the model card, with everything filled in that is known."""
    from cvkit.documentation import documents

    return _start(options, documents.CARD)


def new_document(options: argparse.Namespace) -> int:
    """Start a document from a template, with known facts filled in."""
    from cvkit.documentation import documents

    return _start(options, documents.named(options.name, options.label))


def show_example(options: argparse.Namespace) -> int:
    """Print a filled example of a document."""
    from cvkit.documentation import documents

    options.say(documents.example(documents.named(options.name, "")).rstrip())
    return errors.DONE


def fill(options: argparse.Namespace) -> int:
    """Write the facts of a document anew; what people wrote stays."""
    from cvkit.documentation import documents, facts

    config, name = _asked(options)
    path = documents.path_of(config, name)
    documents.read(path)
    known = facts.know(config, datetime.now(UTC))
    done = documents.fill(config, name, known, facts.told(known))
    count = len(done.changed)
    options.say(f"{path}: {count or 'none'} of its facts renewed, {done.same} were up to date; "
                f"people's words kept as they are: {done.words}.")  # fmt: skip
    for words, rows in (("renewed", done.changed), ("note", done.notes)):
        for row in rows:
            options.say(f"  {words}: {row}")
    return errors.DONE


def check(options: argparse.Namespace) -> int:
    """Say how complete a document is, and what is missing, stale or contradictory."""
    from cvkit.documentation import documents, facts

    config, name = _asked(options)
    path = documents.path_of(config, name)
    text = documents.read(path)
    known = facts.know(config, datetime.now(UTC))
    found = documents.check(text, known, facts.told(known), str(path), name)
    options.say(f"{path}: {found.percent} complete, {found.done} of {found.of}")
    for words, rows in (("missing", found.missing), ("stale", found.stale), ("contradictory", found.contradictory)):
        for row in rows:
            options.say(f"  {words}: {row}")
    return errors.DONE if found.fine else errors.INCOMPLETE


def diff(options: argparse.Namespace) -> int:
    """Show what `fill` would change."""
    from cvkit.documentation import documents, facts

    config, name = _asked(options)
    path = documents.path_of(config, name)
    text = documents.read(path)
    known = facts.know(config, datetime.now(UTC))
    options.say(documents.diff(text, known, facts.told(known), str(path), name) or "nothing: its facts are up to date")
    return errors.DONE


def list_templates(options: argparse.Namespace) -> int:
    """List the templates, and the documents that were started from them."""
    from cvkit.config import load_config
    from cvkit.documentation import documents

    config = load_config(options.config)
    started = documents.every(config)
    names = [
        name
        for template in documents.templates()
        for name in [one for one in started if documents.template_of(one) == template] or [template]
    ]
    width = max(map(len, names))
    for name in names:
        path = documents.path_of(config, name)
        options.say(f"{name:{width}} {path.relative_to(config.workspace) if name in started else '-'}")
    return errors.DONE


def _start(options: argparse.Namespace, name: str) -> int:
    from cvkit.config import load_config
    from cvkit.documentation import documents, facts, marked

    config = load_config(options.config)
    documents.free(config, name)
    known = facts.know(config, datetime.now(UTC))
    path = documents.start(config, name, known, facts.told(known))
    options.say(f"{path}: known facts are in it; write the words where it says `{marked.TODO}`.")
    options.say(f"A filled example: `cvkit template example {documents.template_of(name)}`.")
    return errors.DONE


def _asked(options: argparse.Namespace) -> tuple[Config, str]:
    from cvkit.config import load_config
    from cvkit.documentation import documents

    return load_config(options.config), options.document or documents.CARD
