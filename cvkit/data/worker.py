"""A worker: the process in which an engine's functions run, so that what kills it kills nothing else.

It reads pairs of a function and its items from standard input and answers with one message for each result. Both ends
are cvkit's own, of one version, and joined by pipes that no other process has. What it is asked is pickled; its answers
hold numbers, text, bytes and tuples of them only, and are read by an unpickler that knows no class: a picture that
takes a worker over has not taken over the command. Started by `cvkit.data.isolation`, never by people.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from typing import IO, Any

from cvkit.errors import CvkitError

READY, RESULT, DONE, RAISED = "ready", "result", "done", "raised"
IDLE_S = 60.0  # after so long without work it ends; another one is started when there is some
LOOK_S = 2.0  # between two looks at whether anybody still wants its answers


def serve() -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends its workers
    questions, answers = _private_pipes()
    idle_since: list[float] = [time.monotonic()]
    threading.Thread(target=_watch, args=(os.getppid(), idle_since), daemon=True).start()
    _send(answers, READY, None)
    while True:
        try:
            work, items = pickle.load(questions)
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001  the function cannot be imported here: whoever asked is told
            _send(answers, RAISED, told(error))
            continue
        idle_since.clear()
        _answer(answers, work, items)
        idle_since.append(time.monotonic())


def _answer(answers: IO[bytes], work: Any, items: Any) -> None:
    try:
        for result in work(items):
            _send(answers, RESULT, result)
    except MemoryError:
        os._exit(1)  # as if the kernel had ended it: what it holds is not to be trusted any more
    except Exception as error:  # noqa: BLE001  raised again where the work was asked for
        _send(answers, RAISED, told(error))
    else:
        _send(answers, DONE, None)


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes to whoever started this; what libraries print goes to standard error from now on."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return questions, answers


def _send(answers: IO[bytes], kind: str, content: Any) -> None:
    try:
        answers.write(pickle.dumps((kind, content)))
        answers.flush()
    except BrokenPipeError:  # nobody reads the answers any more
        os._exit(0)


def told(error: Exception) -> tuple[str, ...]:
    """An exception as text: of cvkit's own the class and its parts, of others the words."""
    if isinstance(error, CvkitError):
        return type(error).__name__, error.problem, error.expected, error.found, error.where, error.remedy
    return "", f"{type(error).__name__}: {error}"


def _watch(parent: int, idle_since: list[float]) -> None:
    """End this process where the one that started it has died, or has had no work for it for long."""
    while True:
        time.sleep(LOOK_S)
        idle = list(idle_since)
        if os.getppid() != parent or (idle and time.monotonic() - idle[0] > IDLE_S):
            os._exit(0)


if __name__ == "__main__":
    sys.modules["cvkit.data.worker"] = sys.modules["__main__"]
    serve()
