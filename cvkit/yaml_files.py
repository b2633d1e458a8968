"""YAML as people write it: read safely, with the line of whatever is wrong."""

from __future__ import annotations

from typing import Any

import yaml

MOST_NODES = 100_000  # beside one for each letter, that anchors may make of a text: each stands for all it names
MOST_BITS = 64  # of a whole number


class _Loader(yaml.SafeLoader):
    """The safe loader; a value that cannot be, such as the day 2026-02-31, is an error with its line too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > MOST_BITS:
                raise ValueError(f"a whole number of more than {MOST_BITS} bits")
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # `!!int ""` and its like
            raise yaml.constructor.ConstructorError(problem=str(error), problem_mark=node.start_mark) from None
        return value


def read(text: str) -> tuple[Any, yaml.Node | None]:
    """The values in `text`, and the nodes they were read from. Raises yaml.YAMLError; `explain` puts it into words.

    Anchors within themselves, and those that make far more nodes of a text than it has letters, are errors.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _size(node, MOST_NODES + len(text), {}, set())
        return yaml.load(text, Loader=_Loader), node  # noqa: S506  it is safe
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF", which is no letter
        raise yaml.YAMLError(str(error)) from None


def _size(node: yaml.Node, most: int, known: dict[int, int], above: set[int]) -> int:
    """How many nodes a node is, each anchor as often as it is named. Raises yaml.YAMLError above `most`."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    place = id(node)
    if place in above:
        raise yaml.constructor.ConstructorError(problem="an anchor within itself", problem_mark=node.start_mark)
    if place not in known:
        above.add(place)
        pairs = isinstance(node, yaml.MappingNode)
        inside = [one for pair in node.value for one in pair] if pairs else node.value
        known[place] = 1 + sum(_size(one, most, known, above) for one in inside)
        above.discard(place)
    if known[place] > most:
        problem = f"anchors make more than {most:,} values of it"
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
    return known[place]


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
