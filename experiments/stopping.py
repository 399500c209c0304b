"""A process that can be stopped at any moment, and then says how to go on."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

STOPPING = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}
GRACE = 0.8  # seconds, in which to stop in good order


class Stopped(BaseException):
    """A signal asks to stop. Not a KeyboardInterrupt, which other libraries answer in their own ways."""


_kept = ["what is finished is"]


def now_kept(words: str) -> None:
    """From now on a process that is stopped says that this is kept, as in "18 of 108 runs are"."""
    _kept[0] = words


@contextmanager
def stoppable(goes_on: bool = False) -> Iterator[None]:
    """At the first signal Stopped is raised in the main thread, and when that gets here the process ends:
    what runs in other threads is not waited for. Should it not get here in time (the main thread is inside of
    compiled code, or somebody swallows it), another thread ends the process.

    Args:
        goes_on: whether the same command goes on from there, which is said at the end.
    """
    received: list[int] = []
    ended = threading.Event()
    _listen(received, ended, goes_on)
    try:
        yield
    except BaseException as error:
        if received and not (isinstance(error, SystemExit) and not error.code):
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            _leave(received[0], goes_on)
        raise
    finally:
        ended.set()
        for number in STOPPING:  # nothing is left that could be stopped in good order
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def _listen(received: list[int], ended: threading.Event, goes_on: bool) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            sys.unraisablehook = swallowed
            raise Stopped

    def swallowed(unraisable: "sys.UnraisableHookArgs") -> None:
        """Where it was raised inside of a callback, Python would print it and go on."""
        if unraisable.exc_type is Stopped:
            _leave(received[0], goes_on)
        sys.__unraisablehook__(unraisable)

    def end_in_time() -> None:
        number = os.read(reading, 1)[0]
        if not ended.wait(GRACE):
            _leave(number, goes_on)

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)  # is written to at once, whatever the main thread does
    threading.Thread(target=end_in_time, daemon=True).start()
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, stop)


def _leave(number: int, goes_on: bool) -> NoReturn:
    """End at once: processes that train end with this one, and what is unfinished goes at the next start."""
    how = f"; {_kept[0]} kept; the same command goes on from there" if goes_on else ""
    cursor = "\033[?25h" if os.isatty(2) else ""  # a bar hides it
    with suppress(OSError):  # the terminal is gone
        os.write(2, f"{cursor}{STOPPING[signal.Signals(number)]}{how}.\n".encode())
    os._exit(128 + number)
