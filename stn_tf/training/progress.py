"""How far training is, on stderr: a bar in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0


class TrainingProgress:
    """Shows loss, metrics, speed, what is waited for, and the time left.

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
        figures: Mapping[str, float],
        images_per_second: float,
        input_wait: float,
        seconds_left: float,
    ) -> None:
        """Shows the figures of a step; the speed is 0 before it is known."""
        text = figures_text(figures)
        if images_per_second:
            minutes, seconds = divmod(round(seconds_left), 60)
            text += f"  {images_per_second:,.0f} images/s"
            text += f"  input wait {100 * input_wait:.0f} %  {minutes}:{seconds:02d} left"
        if self._bar:
            self._bar.update(self._task, completed=step, figures=text)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES or step == self._steps:
            self._last_line = time.monotonic()
            self.say(f"step {step}/{self._steps}  {text}")

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(Text(text), soft_wrap=True)


def figures_text(figures: Mapping[str, float]) -> str:
    """Returns figures as they are shown: `loss 0.1234  error 1.25 %`."""
    shown = []
    for name, value in figures.items():
        if name.endswith("_percent"):
            words = name.removesuffix("_percent").replace("_", " ")
            shown.append(f"{words} {value:.2f} %")
        else:
            shown.append(f"{name.replace('_', ' ')} {value:.4f}")
    return "  ".join(shown)
