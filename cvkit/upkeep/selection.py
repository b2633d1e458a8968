"""Which files of a workspace belong in an archive: all but those that can be made again, and captures."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.data import sources
from cvkit.data.sources.patterns import is_image
from cvkit.upkeep.manifest import ENDINGS, MARK, LeftOut, unread

AGAIN = "cvkit makes it again"
FOLDERS = {  # below the workspace, and why they are left out
    "features": f"{AGAIN} from images",
    "embeddings": f"{AGAIN} from images",
    "site": f"{AGAIN}: `cvkit site build`",
    "retraining/data": f"{AGAIN}: `cvkit retrain prepare`",
    "retraining/runs": "the trainings' own files; what came of them is in versions",
    "locks": "locks of processes",
    "recorded": "recorded frames and records: --with-recorded adds them",
    ".ultralytics": "settings of Ultralytics",
    ".git": "a repository: push it",
}
NAMES = {"__pycache__": AGAIN, ".ipynb_checkpoints": "Jupyter's copies", "node_modules": "another program's"}
DRAFTS = PurePosixPath(".cache/cvkit/drafts")  # the one thing in .cache that is nowhere else
UNFINISHED = (".tmp", ".cvkit-old")
PARTS = (".part", ".part-journal", ".part-wal", ".part-shm")  # of cvkit's own writing: nobody asks for them
OWN = ("versions", "retraining", "docs", "reports", "recorded")  # their images are no captures
FIRST = ("cvkit.yml", f"{champion_file.FOLDER}/{champion_file.FILE}")  # before what they name, which only grows


class Selection:
    """The files of a workspace, as paths below it; `left_out` is filled while they are walked."""

    def __init__(self, config: Config, *, history: Path | None, with_recorded: bool = False) -> None:
        self.root = config.workspace
        self.left_out: list[LeftOut] = []
        self._folders = {name: why for name, why in FOLDERS.items() if not (with_recorded and name == "recorded")}
        self._history = history
        self._secret_files = {
            os.path.realpath(Path(one.secret.removeprefix("file:")).expanduser())
            for one in config.alerts.channels if one.secret.startswith("file:")
        }  # fmt: skip
        given = (config.captures.predictions, config.reference.predictions)
        self._predictions_given = any(Path(config.resolve(one)).is_relative_to(self.root / "predictions")
                                      for one in given if one)  # fmt: skip
        self._captures = sources.images_pattern(config).folder
        data = config.resolve(config.reference.data) if config.reference.data else None
        self._reference = data.parent if data is not None and not data.is_dir() else data
        self._pictures = 0

    def files(self) -> list[str]:
        """The paths of all files that belong in an archive, those that name others first."""
        found = list(self._walk(self.root))
        if self._pictures:
            where = os.path.relpath(self._captures, self.root)
            why = f"{self._pictures} captures: they are backed up where they come from"
            self.left_out.append(LeftOut(where, why))
        first = [path for path in FIRST if path in found]
        return first + [path for path in found if path not in FIRST]

    def _walk(self, folder: Path) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.left_out.append(unread(os.path.relpath(folder, self.root), error))
            return
        for entry in listed:
            path = os.path.relpath(entry.path, self.root)
            if entry.is_dir(follow_symlinks=False):
                if not (why := self._folder_is_left_out(path, entry.name)):
                    yield from self._walk(Path(entry.path))
                    continue
            elif self._is_capture(path, entry):
                self._pictures += 1
                continue
            elif not (why := self._file_is_left_out(path, entry)):
                yield path
                continue
            if why != "-":
                self.left_out.append(LeftOut(path, why))

    def _folder_is_left_out(self, path: str, name: str) -> str:
        """Why; "" where it is not left out, "-" where that needs no words."""
        if path in self._folders or name in NAMES:
            return self._folders.get(path) or NAMES[name]
        if name.endswith((*UNFINISHED, *PARTS)):
            return "-" if name.endswith(PARTS) else "unfinished"
        pure = PurePosixPath(path)
        if pure.parts[0] == ".cache" and not (DRAFTS.is_relative_to(pure) or pure.is_relative_to(DRAFTS)):
            return AGAIN
        return ""

    def _file_is_left_out(self, path: str, entry: os.DirEntry[str]) -> str:
        name = entry.name
        try:
            kind = entry.stat().st_mode  # a link to a file is that file
        except OSError:
            return "a link that leads nowhere" if entry.is_symlink() else "it was gone"
        if not stat.S_ISREG(kind):
            return "a link to a folder, which is backed up where it is" if stat.S_ISDIR(kind) else "it is no file"
        if self._history is not None and entry.path in (f"{self._history}{end}" for end in ("", "-wal", "-shm")):
            return "-"  # what is archived is a snapshot of it
        if name.endswith(PARTS):
            return "-"
        if name.endswith((*UNFINISHED, ".lock")):
            return "unfinished, or a lock"
        if name.startswith(".env") or os.path.realpath(entry.path) in self._secret_files:
            return "it holds secrets"
        if path.startswith(".cache/") and not PurePosixPath(path).is_relative_to(DRAFTS):
            return AGAIN
        if path.startswith("predictions/") and not self._predictions_given and _is_cached(name):
            return "-" if any(one.path == "predictions" for one in self.left_out) else self._once("predictions")
        return "an archive of `cvkit backup`" if is_backup(Path(entry.path)) else ""

    def _once(self, path: str) -> str:
        self.left_out.append(LeftOut(path, f"{AGAIN} from images: what the model says of them"))
        return "-"

    def _is_capture(self, path: str, entry: os.DirEntry[str]) -> bool:
        if PurePosixPath(path).parts[0] in OWN or not is_image(entry.name):
            return False
        place, reference = Path(entry.path), self._reference
        if reference is not None and reference != self.root and place.is_relative_to(reference):
            return False  # where the pattern of captures takes in the whole workspace
        return place.is_relative_to(self._captures)


def _is_cached(name: str) -> bool:
    return name.startswith("source=") and name.endswith(".parquet")


def is_backup(file: Path) -> bool:
    """Whether a file is an archive of `cvkit backup`."""
    if not file.name.endswith(ENDINGS):
        return False
    try:
        with tarfile.open(file) as archive:
            first = archive.next()
            return first is not None and first.name == MARK
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False
