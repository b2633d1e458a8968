"""The package nbformat, loaded without what takes nine tenths of its time and is never used on a notebook."""

from __future__ import annotations

import sys
from typing import Any

GRAMMARS = "rfc3987_syntax"  # compiles 38 grammars of addresses as it is imported, which takes seconds


def nbformat() -> Any:
    """The package. Where it is loaded here first, jsonschema does without its optional check of formats like `iri`.

    JupyterLab brings that check along; nbformat's schema has no such format.
    """
    first = GRAMMARS not in sys.modules
    if first:
        sys.modules[GRAMMARS] = None  # type: ignore[assignment]  # an import of it fails, as where it is not installed
    try:
        import nbformat
    finally:
        if first:
            sys.modules.pop(GRAMMARS, None)
    return nbformat
