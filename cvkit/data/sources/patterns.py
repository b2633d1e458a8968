"""Patterns of paths: what `captures/{source}/{date}/*.jpg` means, and the files that match it."""

from __future__ import annotations

import functools
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cvkit.config import Config
from cvkit.errors import ConfigError

# What a field matches. A time may have no separators, may end early, and may name its zone.
FIELDS = {
    "source": r"[^/]+?",
    "date": r"\d{4}-\d{2}-\d{2}|\d{8}",
    "time": r"\d{2}(?:[-:._]?\d{2}){1,2}(?:[-.,_]?(?:\d{6}|\d{3}))?(?:Z|[+-]\d{2}:?\d{2})?",
}
TOKEN = re.compile(r"\*+|\{[^{}]*\}")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".ppm", ".pgm"})
ANY = "[^/]*"  # what `*` matches
UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")  # files another program is still writing

Segment = re.Pattern[str] | None  # None: `**`, any number of folders


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern taken apart: a folder that is fixed, and below it one expression for each part of the path."""

    text: str
    key: str  # the setting it stands in
    folder: Path
    segments: tuple[Segment, ...]
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A file that matches a pattern, and what its path says."""

    path: str
    bytes: int
    modified_ns: int
    source: str
    date: str
    time: str
    deep: str  # its path from where the pattern says `**`; its name where the pattern does not


NOBODY = Found("", 0, 0, "", "", "", "")  # where it does not matter which file says something


def compile_pattern(text: str, base: Path, key: str) -> Pattern:
    """The pattern `text`, seen from the folder `base`; `key` is the setting named in errors.

    `{source}`, `{date}` and `{time}` are fields, `{jpg,png}` a choice, `*` any characters but `/`, `**` any number of
    folders; everything else stands for itself. A field that comes twice has to say the same twice.
    Raises ConfigError on an unknown field, on braces within braces or over folders, and on a part that may be nothing.
    """
    given = _at_home(text, key)
    parts = given.parts[1:] if given.is_absolute() else given.parts  # `base` is a name, whatever characters it has
    if not parts:
        raise ConfigError("a pattern without a name", where=f"{key}: {text}", expected="captures/{source}/*.jpg")
    plain = next((i for i, part in enumerate(parts) if TOKEN.search(part)), len(parts) - 1)
    written = [_expression(part, key, text) for part in [*parts[plain:], *(["*"] if parts[-1] == "**" else [])]]
    segments = tuple(None if part is None else re.compile(_once(part), re.DOTALL) for part in written)
    fields = frozenset(name for segment in segments if segment for name in segment.groupindex)
    return Pattern(text, key, Path(os.path.normpath(Path(given.anchor or base, *parts[:plain]))), segments, fields)


def workspace(config: Config) -> Path:
    """The workspace's folder without `..`, so that the paths found below it begin with it."""
    return Path(os.path.abspath(config.workspace))  # noqa: PTH100  links stay as they are


def matcher(text: str, key: str) -> re.Pattern[str]:
    """One expression for a relative path or the tail of one, with the fields as named groups."""
    parts = [_expression(part, key, text) for part in PurePosixPath(text).parts]
    joined = "".join("(?:[^/]+/)*" if part is None else f"{part}/" for part in parts).removesuffix("/")
    return re.compile(f"(?:.*/)?{_once(joined)}", re.DOTALL)


def matching(pattern: Pattern, date_wanted: Callable[[str], bool], unlisted: list[tuple[str, str]]) -> list[Found]:
    """Files that match, sorted by path; folders and files whose {date} is not wanted are passed over unopened.

    Hidden and unfinished files are passed over, loops of links are followed once. Folders that cannot be listed, and
    devices with the name of a file, are put into `unlisted`, with the reason.
    """
    found: dict[str, Found] = {}
    for entry, fields, deep in _walk(pattern, date_wanted, unlisted):
        size = _size(entry)
        if size is None and _is_device(entry):
            unlisted.append((entry.path, "it is no file but a device or a pipe"))
        if size is not None:
            source, date, time = fields.get("source", ""), fields.get("date", ""), fields.get("time", "")
            found[entry.path] = Found(entry.path, *size, source, date, time, deep)
    return [found[path] for path in sorted(found)]


def any_match(pattern: Pattern, within_s: float = math.inf) -> bool:
    """Whether at least one file matches; stops at the first. Raises TimeoutError where it takes longer to tell."""
    end = time.monotonic() + within_s

    def go_on(folder: str) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"{folder} was not looked into within {within_s:g} s")

    return next(_walk(pattern, lambda date: True, [], entering=go_on), None) is not None


def dates(pattern: Pattern) -> list[str]:
    """The values of {date} there are, as written, sorted; folders below the one that names the date stay unopened."""
    depth = next(i for i, segment in enumerate(pattern.segments) if segment and "date" in segment.groupindex)
    above = replace(pattern, segments=pattern.segments[: depth + 1])
    return sorted(
        {fields["date"] for _, fields, _ in _walk(above, lambda date: True, [], depth + 1 < len(pattern.segments))}
    )


def describe(folder: Path) -> str:
    """What is in `folder`, in words, for an error."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names only
    except (OSError, ValueError) as error:  # a zero byte in the name is a ValueError
        return f"{folder}: {getattr(error, 'strerror', None) or error}"
    if not names:
        return f"{folder} is empty"
    return f"{folder} has {len(names)} entries, such as {', '.join(repr(name) for name in names[:3])}"


def is_image(name: str) -> bool:
    """Whether a file name ends like an image's, whatever its case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  a hot path


def _at_home(text: str, key: str) -> PurePosixPath:
    """A pattern with the home folder in the place of `~`. Raises ConfigError for that of a person who is not known."""
    try:
        return PurePosixPath(Path(text).expanduser().as_posix())
    except (RuntimeError, ValueError):  # a zero byte in the name is a ValueError
        raise ConfigError("nobody knows this home folder", where=f"{key}: {text}", remedy="write its path") from None


def _expression(part: str, key: str, text: str) -> str | None:
    """The regular expression of one part of a path; None for `**`."""
    if part == "**":
        return None
    if TOKEN.search("/".join(TOKEN.sub("", one) for one in text.split("/"))):
        raise _braces("braces within braces, or over folders", part, key, text)
    expression, position, star = "", 0, False
    for token in TOKEN.finditer(part):
        before = re.escape(part[position : token.start()])
        if star and token.group().startswith("*"):  # the first place will do: trying others takes ages of long names
            expression = expression.removesuffix(ANY) + f"(?>{ANY}?{before})"
        else:
            expression += before
        expression += _token(token.group(), key, text)
        star, position = token.group().startswith("*"), token.end()
    expression += re.escape(part[position:])
    choices = [token for token in TOKEN.findall(part) if "," in token]
    if choices == TOKEN.findall(part) != [] and any(re.fullmatch(expression, none) for none in ("", ".", "..")):
        raise _braces("a part of a pattern that may be nothing", part, key, text)
    return expression


def _braces(problem: str, part: str, key: str, text: str) -> ConfigError:
    return ConfigError(
        problem, where=f"{key}: {text}", expected="fields and choices side by side, of one folder or more characters",
        found=part, remedy="write one choice, such as {jpg,jpeg,png}, or put * where the path varies",
    )  # fmt: skip


def _token(token: str, key: str, text: str) -> str:
    name = token[1:-1]
    if token.startswith("*"):
        return ANY
    if "," in name:
        return f"(?:{'|'.join(re.escape(choice) for choice in name.split(','))})"
    if name not in FIELDS:
        raise _unknown_field(name, text, key)
    return f"(?P<{name}>{FIELDS[name]})"


def _once(expression: str) -> str:
    """`expression` with every field after its first occurrence as a reference back to it."""
    for name, inner in FIELDS.items():
        group = f"(?P<{name}>{inner})"
        first, mark, rest = expression.partition(group)
        expression = first + mark + rest.replace(group, f"(?P={name})")
    return expression


def _walk(
    pattern: Pattern,
    date_wanted: Callable[[str], bool],
    unlisted: list[tuple[str, str]],
    folders: bool = False,
    entering: Callable[[str], None] = lambda folder: None,
) -> Iterator[tuple[os.DirEntry[str], dict[str, str], str]]:
    """Entries that match, with their fields and their path below `**`; folders instead of files where asked for.

    `entering` hears each folder before it is listed.
    """
    segments = pattern.segments

    def below(
        folder: str, depth: int, fields: dict[str, str], deep: str | None, trail: frozenset[tuple[int, int]]
    ) -> Iterator[tuple[os.DirEntry[str], dict[str, str], str]]:
        entering(folder)
        segment, last = segments[depth], depth + 1 == len(segments)
        if segment is None:
            yield from below(folder, depth + 1, fields, deep or "", trail)
        for entry in _entries(folder, unlisted):
            if segment is None:
                if not entry.name.startswith(".") and _is_folder(entry) and (place := _place(entry)) not in trail:
                    yield from below(entry.path, depth, fields, f"{deep or ''}{entry.name}/", trail | {place})
                continue
            read = read_part(segment, entry.name, fields)
            if read is None or (read.get("date") != fields.get("date") and not date_wanted(read["date"])):
                continue
            if _is_folder(entry) != (folders or not last):
                continue
            if last:
                yield entry, read, (deep or "") + entry.name
            else:
                yield from below(entry.path, depth + 1, read, None if deep is None else f"{deep}{entry.name}/", trail)

    yield from below(str(pattern.folder), 0, {}, None, _start(pattern.folder))


def read_part(segment: re.Pattern[str], name: str, fields: dict[str, str]) -> dict[str, str] | None:
    """`fields` and what `name` adds to them; None where it does not match, is hidden or unfinished."""
    if (name.startswith(".") and not segment.pattern.startswith("\\.")) or name.endswith(UNFINISHED):
        return None
    own = _own(segment, name)
    if own is None:
        return None
    for key, value in own.items():  # a hot path: without a generator
        if fields.get(key, value) != value:
            return None
    return {**fields, **own} if own else fields


@functools.lru_cache(maxsize=65_536)  # days and times have the same names below every camera
def _own(segment: re.Pattern[str], name: str) -> dict[str, str] | None:
    match = segment.fullmatch(name)
    return None if match is None else match.groupdict()


def _entries(folder: str, unlisted: list[tuple[str, str]]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # gone since it was seen, or not there yet: no match, which the caller reports
        return []
    except (OSError, ValueError) as error:  # a zero byte in the name is a ValueError
        unlisted.append((folder, f"the folder cannot be listed: {getattr(error, 'strerror', None) or error}"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _place(entry: os.DirEntry[str]) -> tuple[int, int]:
    """What a folder is, whatever the links on the way to it."""
    status = entry.stat()
    return status.st_dev, status.st_ino


def _start(folder: Path) -> frozenset[tuple[int, int]]:
    try:
        status = folder.stat()
    except (OSError, ValueError):  # not there, or no name
        return frozenset()
    return frozenset({(status.st_dev, status.st_ino)})


def _size(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Bytes and time of a file; zeros for a link that leads nowhere; None for what is no file, or gone by now."""
    try:
        status = entry.stat()
    except OSError:
        return (0, 0) if entry.is_symlink() else None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _is_device(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is there, but neither file nor folder."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _unknown_field(name: str, text: str, key: str) -> ConfigError:
    return ConfigError(
        f"unknown field {{{name}}} in a pattern", where=f"{key}: {text}",
        expected="{source}, {date}, {time}, or a choice such as {jpg,png}", found=f"{{{name}}}",
        remedy="correct the field, or put * where the path varies without a meaning",
    )  # fmt: skip
