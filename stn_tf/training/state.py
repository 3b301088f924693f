"""How far training has come, beside its variables."""

import dataclasses


@dataclasses.dataclass
class State:
    """What a checkpoint holds beside variables.

    Attributes:
        step: How many steps were taken.
        steps: How many there were to be.
        seconds: How long training has taken so far.
        timed_seconds: The part of it in steps whose speed was measured.
        timed_images: How many examples these had.
        timed_wait: How many of these seconds were spent waiting for data.
        batches: How many batches of the data were used.
        skipped: How many steps were left out because they were no numbers.
        skipped_in_a_row: How many of them were the last.
        history: The figures of each evaluation.
        monitor: The figure that chooses.
        best_step: Of the best evaluation so far, its step.
        best_value: And its value.
        unimproved: How many evaluations have passed since.
        choose: Which weights the finished model has, `best` or `last`.
    """

    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    timed_seconds: float = 0.0
    timed_images: float = 0.0
    timed_wait: float = 0.0
    batches: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    monitor: str = ""
    best_step: int | None = None
    best_value: float | None = None
    unimproved: int = 0
    choose: str = "best"

    @property
    def was_evaluated(self) -> bool:
        """Whether this step has been evaluated."""
        return bool(self.history) and self.history[-1]["step"] == self.step
