"""Ctrl-C and SIGTERM: finish the step, write a checkpoint, say how to go on."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and did so after a checkpoint.

    Attributes:
        step: The step of that checkpoint.
        signal: The signal that asked, SIGINT or SIGTERM.
    """

    def __init__(self, step: int, number: int):
        super().__init__(f"Stopped after step {step} by {signal.Signals(number).name}.")
        self.step = step
        self.signal = number


class StopRequest:
    """A context in which the first SIGINT or SIGTERM is noted instead of raised.

    The second one is raised as usual. Signals reach only the main thread, so in other threads this
    does nothing.
    """

    def __init__(self, notify: Callable[[str], None] = lambda text: None) -> None:
        self.number = 0
        self._notify = notify
        self._previous: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.number != 0

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
        self._notify("Stopping after this step; once more stops at once, without a checkpoint.")
