"""Give readers of cvkit bytes that nobody thought of: `python tools/fuzz.py READER --runs N`, or `all`.

The mutator of its own is seeded and needs nothing. Atheris follows what code each input reaches, and finds more;
it is no dependency of cvkit: `uv pip install --target FOLDER atheris` with Python 3.11, then
`PYTHONPATH=FOLDER python tools/fuzz.py READER --runs N --guided`.

Prints executions and seconds. The first input that breaks a promise is saved, and the exit code is 1; with `--go-on`
the first of each kind, by the error and the line of cvkit. An input has 10 seconds and 4 GB of memory.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = Path(__file__).parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent), str(TOOLS.parent / "tests")]
LONGEST = 4096  # bytes of an input
SECONDS, MEMORY = 10, 2**32  # that one input may take


class TooSlowError(BaseException):
    """An input took too long; no reader catches it."""


def too_slow(*_: object) -> None:
    """Raise TooSlowError out of whatever runs."""
    raise TooSlowError(f"more than {SECONDS} s")


@dataclass(slots=True)
class Trial:
    """A reader, how often it was run, and what it broke."""

    name: str
    read: Callable[[bytes], object]
    runs: int
    saved: Path  # folder of inputs that broke a promise
    go_on: bool
    done: int = 0
    slowest: float = 0.0
    began: float = field(default_factory=time.monotonic)
    broken: dict[str, Path] = field(default_factory=dict)

    def one(self, data: bytes) -> None:
        """Run the reader once. Ends the process after the last run, or after a promise that was broken."""
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            self.read(data)
        except (Exception, TooSlowError) as error:  # noqa: BLE001  whatever a reader raises is what is looked for
            self._keep(error, data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.done += 1

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.done >= self.runs or bool(self.broken and not self.go_on)

    def _keep(self, error: BaseException, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if f"{os.sep}cvkit{os.sep}" in frame.filename] or frames
        kind = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
        if kind not in self.broken:
            self.broken[kind] = self.saved / f"{self.name}-{len(self.broken) + 1}"
            self.broken[kind].write_bytes(data)
            words = "".join(traceback.format_exception_only(error)).strip().splitlines()
            print(f"BROKEN {self.name}: {kind}: {words[0][:300] if words else ''}\n  {self.broken[kind]}", flush=True)

    def told(self) -> str:
        """What was done, in words."""
        seconds = time.monotonic() - self.began
        rate = self.done / max(seconds, 1e-9)
        return (
            f"{self.name}: {self.done:,} executions in {seconds:.1f} s ({rate:.0f} a second, the slowest "
            f"{self.slowest:.2f} s), {len(self.broken)} kinds of broken promises"
        )


def mutated(seeds: list[bytes], words: tuple[bytes, ...], random: random.Random) -> bytes:
    """One of the seeds with a few changes: bytes turned, cut out, doubled, words put in, parts of another seed."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        at = random.randrange(len(data) + 1)
        upto = min(len(data), at + random.choice((1, 2, 4, 8, 32)))
        match random.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at:upto] = random.choice(words)
            case 2:
                data[at:at] = random.choice(words)
            case 3:
                del data[at:upto]
            case 4:
                data[at:at] = data[at:upto] * random.choice((1, 2, 30))
            case 5:
                other = random.choice(seeds)
                start = random.randrange(len(other) + 1)
                data[at:] = other[start:]
            case _:
                data[at:upto] = random.randbytes(upto - at)
    return bytes(data[:LONGEST])


def unguided(trial: Trial, seeds: list[bytes], words: tuple[bytes, ...], seed: int) -> None:
    """Run the reader on its seeds, then on what is made of them."""
    chance = random.Random(f"{trial.name} {seed}")  # noqa: S311  to be repeated, not to be kept secret
    for data in seeds:
        trial.one(data)
    while not trial.ended:
        trial.one(mutated(seeds, words, chance))


def guided(trial: Trial, seeds: list[bytes], words: tuple[bytes, ...], seed: int) -> None:
    """The same by atheris, which ends the process itself."""
    import atheris

    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    listed = corpus.with_suffix(".dict")
    listed.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"\n' for word in words))

    def one(data: bytes) -> None:
        trial.one(data)
        if trial.ended:
            end(trial)

    options = [f"-seed={seed}", f"-max_len={LONGEST}", f"-dict={listed}", "-verbosity=0", "-rss_limit_mb=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def end(trial: Trial) -> None:
    """Say what was done, and end at once: libFuzzer has no other way out."""
    import fuzz_readers

    print(trial.told(), flush=True)
    fuzz_readers.clear()
    os._exit(1 if trial.broken else 0)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--go-on", action="store_true")
    parser.add_argument("--saved", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    if given.guided:
        import atheris

        with atheris.instrument_imports(include=["cvkit", "yaml", "fuzz_readers"]):
            import fuzz_readers
    else:
        import fuzz_readers
    import fuzz_seeds

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    given.saved.mkdir(parents=True, exist_ok=True)
    names = list(fuzz_readers.READERS) if given.reader == "all" else [given.reader]
    broken = 0
    for name in names:
        read, seeds = fuzz_readers.READERS[name]
        trial = Trial(name, read, given.runs, given.saved, given.go_on)
        (guided if given.guided else unguided)(trial, seeds(), fuzz_seeds.DICTIONARY, given.seed)
        broken += len(trial.broken)
        print(trial.told(), flush=True)
    fuzz_readers.clear()
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
