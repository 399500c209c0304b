"""Where the command begins: from here on it can be stopped at any moment, and then says how to go on."""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

STOPPING = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}
GRACE = 0.8  # seconds, in which to stop in good order
GO_ON = (["run"], ["sweep"])  # the verbs that go on where they were stopped


class Stopped(BaseException):
    """A signal asks to stop. Not a KeyboardInterrupt, which other libraries answer in their own ways."""


def main() -> None:
    """Entry point of `autodiff-sandbox`."""
    received: list[int] = []
    ended = threading.Event()
    _listen(received, ended)
    try:
        _run()
    except BaseException as error:
        if received and not (isinstance(error, SystemExit) and not error.code):
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            _leave(received[0])
        ended.set()
        raise


def _run() -> None:
    try:
        from experiments.cli import app

        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as in `export main --csv - | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _listen(received: list[int], ended: threading.Event) -> None:
    """Raise Stopped in the main thread at the first signal. If that has not ended the command in time (the
    main thread is inside of compiled code, or what was raised there got lost), another thread does."""

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise Stopped

    def end_in_time() -> None:
        number = os.read(reading, 1)[0]
        if not ended.wait(GRACE):
            _leave(number)

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)  # is written to at once, whatever the main thread does
    threading.Thread(target=end_in_time, daemon=True).start()
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, stop)


def _leave(number: int) -> NoReturn:
    """End at once. What runs in other threads and processes is not waited for: nothing is lost by that."""
    how = "; what is finished is kept, and the same command goes on from there" * (sys.argv[1:2] in GO_ON)
    cursor = "\033[?25h" if os.isatty(2) else ""  # a bar hides it
    with suppress(OSError):  # the terminal is gone
        os.write(2, f"{cursor}{STOPPING[signal.Signals(number)]}{how}.\n".encode())
    os._exit(128 + number)
