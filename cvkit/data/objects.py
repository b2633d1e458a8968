"""Objects: the images of a store, listed by a pattern, by source and day."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cvkit.data.sources import patterns, times
from cvkit.data.sources.patterns import Pattern
from cvkit.data.sources.said import clean
from cvkit.data.stores import Item, UnreadError, open_store, patient
from cvkit.errors import DataError

UNDATED = "undated"


@dataclass(frozen=True, slots=True)
class Listed:
    """An image as the store lists it, and what its path says."""

    path: str
    size: int | None
    state: str  # what changes with its content: an ETag, a time of change
    clock: str  # {time} of the path


@dataclass(slots=True)
class Partition:
    """The images of one source and day: where they are listed, or what they are."""

    source: str
    date: str  # YYYY-MM-DD, or UNDATED
    places: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    files: list[Listed] = field(default_factory=list)


class Captures:
    """The images below an address with a pattern, such as s3://bucket/captures/{source}/{date}/*.jpg."""

    def __init__(self, url: str, zone: str = "UTC") -> None:
        """Take the address apart. Raises ConfigError; opens nothing but the store."""
        self.url, self.zone, self.unlisted = url, ZoneInfo(zone), dict[str, str]()
        self.hidden = set[str]()  # images and folders whose names begin with a dot, which no pattern asks for
        head = url.partition("{")[0].partition("*")[0]
        self.plain = head == url
        text = f"{url.rstrip('/')}/**" if self.plain else url
        fixed = head if self.plain else head.rpartition("/")[0] or ("/" if head.startswith("/") else ".")
        self.store = open_store(fixed, "--images")
        # The part of the pattern below the fixed folder, which alone has tokens.
        below = text.removeprefix(head if self.plain else head.rpartition("/")[0]).lstrip("/")
        self.pattern: Pattern = patterns.compile_pattern(below, Path("/"), "--images")
        depth = [
            n + 1 for n, part in enumerate(self.pattern.segments) if part and {"source", "date"} & {*part.groupindex}
        ]
        self.depth = max(depth, default=0)

    def partitions(self) -> list[Partition]:
        """The sources and days there are, sorted; of a pattern whose folders name them, without a look at the files.

        Raises DataError where the folder is not there.
        """
        found: dict[tuple[str, str], Partition] = {}
        self._check_folder()
        for path, depth, fields, entry in self._walk(self.store.path, 0, {}, self.depth, ()):
            date = times.as_date(fields["date"]) if "date" in fields else None
            key = clean(fields.get("source", "")), date.isoformat() if date else UNDATED
            partition = found.setdefault(key, Partition(*key))
            if depth == len(self.pattern.segments) and entry is not None:
                partition.files += self._listed(entry, fields)
            else:
                partition.places.append((path, depth, fields))
        return [found[key] for key in sorted(found)]

    def images(self, partition: Partition) -> list[Listed]:
        """The images of a partition, by path."""
        found = list(partition.files)
        for path, depth, fields in partition.places:
            for _, _, read, entry in self._walk(path, depth, fields, len(self.pattern.segments), ()):
                found += self._listed(entry, read)
        return sorted(found, key=lambda one: one.path)

    def image_id(self, path: str) -> str:
        """The name of an image: its path below the pattern's fixed folder, as `clean` writes it."""
        return clean(path.removeprefix(self.store.path).lstrip("/"))

    def moment(self, date: str, clock: str) -> Any:
        """The UTC time of an image, None where its path has no day."""
        return None if date == UNDATED else times.moment(date, clock, self.zone)[0]

    def digest(self, images: list[Listed]) -> str:
        """What changes when an image of a partition comes, goes or changes."""
        lines = [f"{self.image_id(one.path)}\0{one.size}\0{one.state}\0{one.clock}" for one in images]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()[:32]

    def item(self, listed: Listed) -> Item:
        """What a worker needs to read an image. memory:// is in this process only, so its bytes are taken along."""
        if self.store.protocol != "memory":
            return Item(listed.path, listed.size)
        return Item(listed.path, listed.size, self.store.fs.cat_file(listed.path))

    def _check_folder(self) -> None:
        try:
            there = patient(lambda: self.store.fs.isdir(self.store.path))
        except UnreadError as error:
            raise DataError(
                "the store of the images does not answer", where=self.store.path, found=str(error),
                remedy="see whether the address and the rights are right, then run this again",
            ) from error  # fmt: skip
        if not there:
            raise DataError(
                "there is no folder of images", where=f"--images {self.url}", expected=f"a folder {self.store.path}",
                found="no such folder", remedy="correct the address; a * stands for one part of a path",
            )  # fmt: skip

    def _walk(
        self, path: str, depth: int, fields: dict[str, str], until: int, trail: tuple[str, ...]
    ) -> Iterator[tuple[str, int, dict[str, str], dict[str, Any] | None]]:
        """Places below `path` where `until` parts of the pattern are read; entries of files at its end."""
        if depth == until:
            yield path, depth, fields, None
            return
        segment, last = self.pattern.segments[depth], depth + 1 == len(self.pattern.segments)
        if segment is None and not last:
            yield from self._walk(path, depth + 1, fields, until, trail)
        for entry in self._entries(path):
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            folder = entry.get("type") == "directory"
            read = None if segment is None else patterns.read_part(segment, name, fields)
            if read is None and name.startswith(".") and (folder or patterns.is_image(name)):
                self.hidden.add(clean(str(entry["name"])))
            if segment is None:
                real = os.path.realpath(entry["name"]) if self.store.local else entry["name"]
                if folder and not name.startswith(".") and real not in trail:  # links may lead in circles
                    yield from self._walk(entry["name"], depth, fields, until, (*trail, real))
                continue
            if read is None or folder == last:
                continue
            if last:
                yield entry["name"], depth + 1, read, entry
            else:
                yield from self._walk(entry["name"], depth + 1, read, until, trail)

    def _listed(self, entry: dict[str, Any] | None, fields: dict[str, str]) -> list[Listed]:
        """The image that an entry is; none where the pattern leaves it open what is one, and its name says no."""
        if entry is None:
            return []
        name = str(entry["name"])
        if self.pattern.text.endswith("*") and not patterns.is_image(name):
            return []
        regular = entry.get("type") == "file"
        state = next((entry[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if entry.get(key)), "")
        size = entry.get("size")
        return [Listed(name, size if regular else None, str(state), fields.get("time", ""))]

    def _entries(self, path: str) -> list[dict[str, Any]]:
        """What is in a folder, by name; what cannot be listed is told in `unlisted`."""
        try:
            found = patient(lambda: self.store.fs.ls(path, detail=True))
        except UnreadError as error:
            self.unlisted[clean(path)] = str(error)
            return []
        # Some stores list a folder as an object in itself.
        return sorted((one for one in found if str(one["name"]).rstrip("/") != path.rstrip("/")),
                      key=lambda one: str(one["name"]))  # fmt: skip
