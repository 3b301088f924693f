"""What an experiment is made of: settings, and a recipe that makes a model and data of them.

This module does not import TensorFlow.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BeforeValidator, Field

from stn_tf.interface import ModelInterface
from stn_tf.training.config import FitConfig

if TYPE_CHECKING:
    import keras

PARTS = ("train", "validation", "test")


def _pair(value: Any) -> Any:
    """One number stands for a square."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return value


Size = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], BeforeValidator(_pair)
]


class ExperimentConfig(FitConfig):
    """Settings of an experiment: those of `fit`, and what every recipe has.

    Attributes:
        recipe: Which recipe reads them.
        name: Of the experiment.
        model: What learns; the recipe says which there are.
        data_dir: Where the data is, if it is anywhere.
        batch_size: Of all replicas together.
    """

    recipe: str
    name: str = "experiment"
    model: str
    data_dir: str | None = None
    batch_size: int = Field(32, ge=1)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A shipped experiment.

    Attributes:
        settings: What all its schedules share.
        schedules: Of a schedule's name, the settings that it adds; `short` is the default.
    """

    settings: Mapping[str, Any]
    schedules: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """What a recipe made of settings, ready for `fit`.

    Attributes:
        config: The settings with everything decided that was left open.
        interface: What the model takes and gives.
        build: Returns the model with its initial weights.
        train: Training data, as `fit` takes it.
        parts: Returns the batches of `train`, `validation` or `test`, each example once and as the
            finished model will see it; None where there are none.
        objective: Returns loss and metrics, as `fit` takes them, when they are first asked for: a
            loss may have something to learn before.
        notes: What was decided, a line each, with the setting that changes it.
        write_split: Writes which example is in which part to a file that is kept with the run; None
            where the recipe splits alike by itself.
        names: Returns what the images of a part are called, in the order of `parts`; None where
            they have no names.
        validation: What `fit` validates on, where that is not `parts("validation")`: with labels
            for everything that is trained.
        trains_more: Whether the model that `build` returns has outputs beyond those of the
            interface. `Recipe.model` then makes the one that is kept, of the same weights.
    """

    config: Any
    interface: ModelInterface
    build: "Callable[[], keras.Model]"
    train: Any
    parts: Callable[[str], Iterable[Any] | None]
    objective: Callable[[], tuple[Any, Sequence[Any]]] = lambda: (None, ())
    notes: tuple[str, ...] = ()
    write_split: Callable[[Path], None] | None = None
    names: Callable[[str], Sequence[str] | None] = lambda part: None
    validation: Iterable[Any] | None = None
    trains_more: bool = False

    @property
    def loss(self) -> Any:
        """As `fit` takes it."""
        return self._objective[0]

    @property
    def metrics(self) -> Sequence[Any]:
        """As `fit` takes it."""
        return self._objective[1]

    @cached_property
    def _objective(self) -> tuple[Any, Sequence[Any]]:
        return self.objective()


class Batches:
    """Batches that are made when they are first asked for, and can be gone through again.

    A strategy of several workers must be made before anything else starts TensorFlow.
    """

    def __init__(self, make: Callable[[], Iterable[Any]]):
        self._make = make
        self._made: Iterable[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self._made is None:
            self._made = self._make()
        return iter(self._made)


class Recipe(Protocol):
    """Makes a model and data of settings."""

    @property
    def Config(self) -> type[ExperimentConfig]:
        """The class of its settings."""

    def prepare(self, config: Any, split: Path | None = None) -> Prepared:
        """Returns what the settings stand for.

        Args:
            config: Of the class `Config`.
            split: What `Prepared.write_split` wrote when the run began.

        Raises:
            ConfigError: If the settings do not fit together or the data.
            DataError: If the data cannot be read.
        """

    def model(self, config: Any, interface: ModelInterface) -> "keras.Model":
        """Returns the untrained model of a run, without reading any data."""
