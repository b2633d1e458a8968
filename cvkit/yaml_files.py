"""YAML as people write it: read safely, with the line of whatever is wrong."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """The safe loader; a value that cannot be, such as the day 2026-02-31, is an error with its line too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(problem=str(error), problem_mark=node.start_mark) from None


def read(text: str) -> tuple[Any, yaml.Node | None]:
    """The values in `text`, and the nodes they were read from. Raises yaml.YAMLError; `explain` puts it into words."""
    try:
        return yaml.load(text, Loader=_Loader), yaml.compose(text, Loader=yaml.SafeLoader)  # noqa: S506  it is safe
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def explain(error: yaml.YAMLError) -> tuple[int | None, str]:
    """The line, counted from 1, of what is wrong, and what it is; no line where YAML does not tell."""
    mark = getattr(error, "problem_mark", None)
    return (mark.line + 1 if mark else None), str(getattr(error, "problem", None) or error)


def line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line of the key or item at `location`, or of the innermost part of it that is there."""
    line = node.start_mark.line if node else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line if node else 0
    return line + 1


def repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """The second of two equal keys: YAML keeps the last one silently, which hides a setting."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                return key  # type: ignore[no-any-return]
            seen.add(key.value)
            if found := repeated_key(value):
                return found
    elif isinstance(node, yaml.SequenceNode):
        return next((found for item in node.value if (found := repeated_key(item))), None)
    return None
