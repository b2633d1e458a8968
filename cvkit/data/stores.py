"""Stores: places that fsspec knows, and reading from them so that a bad one cannot lie.

Imported by each worker as it starts: nothing heavy.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cvkit.addresses import plain
from cvkit.data import headers
from cvkit.errors import ConfigError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TRIES = 4  # of one object
PAUSE_S = 0.25  # before the second; doubled before each further one
# What another attempt does not mend; rights may be granted until the next command.
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


class UnreadError(Exception):
    """An object could not be read, and why, in words."""


class NotGivenError(UnreadError):
    """A store did not give it, however often it was asked; it may do so later."""


@dataclass(frozen=True, slots=True)
class Store:
    """A file system of fsspec's and the way to a place in it."""

    fs: Any  # fsspec.AbstractFileSystem
    protocol: str
    path: str  # as the file system names it, absolute where it is local

    @property
    def local(self) -> bool:
        """Whether its files are those of this machine, or of a disk that it shares."""
        return self.protocol == "file"


@dataclass(frozen=True, slots=True)
class Item:
    """An image to be read: where it is, how long it is said to be (None: nobody says), its bytes if they are here."""

    path: str
    size: int | None
    content: bytes | None = None


def open_store(url: str, setting: str) -> Store:
    """The store that `url` names: a path of this machine, file://, s3://bucket/folder, or what else is installed.

    Raises ConfigError for a store that nobody knows, or whose package is missing, naming it.
    """
    from fsspec.core import url_to_fs

    wrong = {"where": f"{setting} {url}", "expected": "a folder, or an address such as s3://bucket/folder"}
    if "::" in url or "\0" in url:
        raise ConfigError("this is no address of a folder", found="chained addresses are not read", **wrong)
    address = url if "://" in url else f"file://{os.path.abspath(Path(url).expanduser())}"  # noqa: PTH100  links stay
    protocol = address.partition("://")[0]
    try:
        # Without a cache of listings, which would be out of date, and hold each of millions of objects.
        fs, path = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise ConfigError(
            f"the package for {protocol}:// is not installed", found=plain(" ".join(str(error).split()))[:200],
            remedy="install what is named there with pip, on the machines of the cluster too", **wrong,
        ) from None  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ConfigError("this is no address of a store", found=plain(str(error))[:200], **wrong) from None
    except OSError as error:  # those that ask at once whether somebody is there
        raise ConfigError(
            "the store does not answer", found=plain(headers.words(error))[:200],
            remedy="see whether the address is right, and can be reached from here", **wrong,
        ) from None  # fmt: skip
    return Store(fs, "file" if protocol in ("file", "local") else protocol, str(path))


def read(store: Store, item: Item, tries: int = TRIES) -> bytes:
    """All bytes of an image. Raises UnreadError, after so many `tries` where another may mend it (NotGivenError).

    That is so where there is no answer, or more or fewer bytes than listed.
    """
    if item.content is not None:
        return item.content
    return patient(lambda: _whole(store, item), tries)


def patient(ask: Callable[[], Answer], tries: int = TRIES) -> Answer:
    """What a store answers, asked a few times with growing pauses.

    Raises NotGivenError with the last reason, and at once where that is denied; UnreadError for another of `LASTING`.
    """
    pause = PAUSE_S
    for attempt in range(tries):
        try:
            return ask()
        except UnreadError:
            raise
        except LASTING as error:
            kind = NotGivenError if isinstance(error, PermissionError) else UnreadError
            raise kind(_words(error)) from error
        except Exception as error:  # each store's package has errors of its own
            if attempt + 1 == tries:
                raise NotGivenError(f"{_words(error)[:200]} ({tries} attempts)") from error
            log.debug("a store did not answer, asked again in %g s: %s", pause, error)
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and not error.strerror:  # fsspec's names the path alone
        return "nothing is there"
    return plain(headers.words(error).removeprefix(f"{headers.NOT_GIVEN}: "))


def _whole(store: Store, item: Item) -> bytes:
    if store.local:
        try:
            content = headers.read_file(item.path)
        except OSError as error:
            if headers.NOT_GIVEN not in str(error):  # such as a pipe, which is none the next time either
                raise UnreadError(_words(error)) from error
            raise
    elif item.size is not None and item.size > headers.BYTE_LIMIT:
        raise UnreadError(f"{item.size:,} bytes are more than the {headers.BYTE_LIMIT:,} cvkit reads of one file")
    elif item.size == 0:
        return b""  # a range of nothing cannot be asked for
    else:
        # One byte more than there should be, so that a store which has more is found out, whatever it has.
        content = store.fs.cat_file(item.path, start=0, end=(item.size or headers.BYTE_LIMIT) + 1)
    if item.size is not None and len(content) != item.size and len(content) != _size_now(store, item.path):
        raise OSError(f"the store gave {len(content):,} bytes of an object that it lists with {item.size:,}")
    return content


def _size_now(store: Store, path: str) -> int | None:
    """The size of an object that may have been replaced since it was listed."""
    store.fs.invalidate_cache()
    size = store.fs.info(path).get("size")
    return None if size is None else int(size)
