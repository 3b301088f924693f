"""Which evaluation is the best, and whether training has stopped improving."""

import math

from stn_tf.errors import ConfigError
from stn_tf.training.config import FitConfig
from stn_tf.training.objective import Objective
from stn_tf.training.state import State


class Choice:
    """Compares evaluations by the figure that the settings name.

    Args:
        config: The settings.
        objective: Built.
        validated: Whether there is validation data.

    Attributes:
        monitor: The name of the figure; empty without validation.
        notes: What was decided, a line each.

    Raises:
        ConfigError: If there is no such figure, or it does not say which way is better.
    """

    def __init__(self, config: FitConfig, objective: Objective, validated: bool):
        self.notes: tuple[str, ...] = ()
        self.monitor = ""
        self._down = True
        self._patience = config.patience
        if not validated:
            for setting, asked in (("patience", config.patience), ("monitor", config.monitor)):
                if asked not in (0, "auto"):
                    raise ConfigError(
                        f"`{setting}` {asked!r} needs validation data, but `validation` is None."
                    )
            return
        directions: dict[str, str | None] = dict.fromkeys(["loss", *objective.loss_names], "down")
        directions |= {named.name: named.direction for named in objective.metrics}
        self.monitor = self._pick(config.monitor, directions, objective)
        direction = directions[self.monitor]
        if direction is None:
            raise ConfigError(
                f"`monitor` {self.monitor} does not say whether more is better. Set its attribute "
                "`_direction` to 'up' or 'down', as Keras's metrics have it, or use monitor=loss."
            )
        self._down = direction == "down"

    def _pick(self, wanted: str, directions: dict[str, str | None], objective: Objective) -> str:
        if wanted == "auto":
            for named in objective.metrics[:1]:
                if named.direction is not None:
                    return named.name
                self.notes = (
                    f"The best weights are those of the lowest validation loss, because the "
                    f"metric {named.name} does not say whether more is better: `monitor`.",
                )
            return "loss"
        if wanted not in directions:
            raise ConfigError(
                f"`monitor` must be one of {', '.join(directions)}, but it is {wanted!r}."
            )
        return wanted

    def note_evaluation(self, state: State, figures: dict[str, float]) -> bool:
        """Notes an evaluation in the state; returns whether it is the best so far."""
        state.history.append({"step": state.step, **figures})
        state.monitor = self.monitor
        value, best = figures[self.monitor], state.best_value
        better = math.isfinite(value) and (
            best is None or (value < best if self._down else value > best)
        )
        if better:
            state.best_step, state.best_value, state.unimproved = state.step, value, 0
        else:
            state.unimproved += 1
        return better

    def has_stopped_improving(self, state: State) -> bool:
        """Whether training is to stop early."""
        return bool(self._patience) and state.unimproved >= self._patience
