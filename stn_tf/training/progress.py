"""How far training is, on stderr: a bar in a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0


class TrainingProgress:
    """Shows loss, error, speed and time left.

    Args:
        title: What is trained; a line of its own, because the figures need the width.
        step: The step at which it starts.
        steps: The step at which it ends.
        shown: False to show nothing.
    """

    def __init__(self, title: str, step: int, steps: int, *, shown: bool = True):
        self._console = Console(stderr=True, quiet=not shown, highlight=False)
        self._steps = steps
        self._bar: Progress | None = None
        self._last_line = 0.0
        if shown and self._console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=None),
                TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.fields[figures]}"),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=steps, completed=step, figures="")
        self.say(title)

    def __enter__(self) -> "TrainingProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(
        self,
        step: int,
        loss: float,
        error_percent: float,
        images_per_second: float,
        images_left: int,
    ) -> None:
        """Shows the figures of a step; the speed is 0 before it is known."""
        figures = f"loss {loss:.4f}  error {error_percent:.2f} %"
        if images_per_second:
            minutes, seconds = divmod(round(images_left / images_per_second), 60)
            figures += f"  {images_per_second:,.0f} images/s  {minutes}:{seconds:02d} left"
        if self._bar:
            self._bar.update(self._task, completed=step, figures=figures)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES or step == self._steps:
            self._last_line = time.monotonic()
            self.say(f"step {step}/{self._steps}  {figures}")

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(Text(text), soft_wrap=True)
