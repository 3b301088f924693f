"""What the paper's experiments on digits have in common, as recipes for `fit`."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stn_tf.errors import ConfigError
from stn_tf.interface import ModelInterface
from stn_tf.paper.config import DigitsConfig
from stn_tf.paper.source import Examples, Source, load_source
from stn_tf.recipe import Batches, Prepared

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from stn_tf.paper.pipeline import Scenes

# Validation and test images are drawn alike in every run, whatever its own seed.
EVALUATION_SEED = 2015


class DigitsRecipe:
    """Makes a network and scenes of digits; each kind of experiment says which.

    Attributes:
        Config: The class of its settings.
        networks: The names of its networks.
    """

    Config: ClassVar[type[DigitsConfig]]
    networks: ClassVar[tuple[str, ...]]

    def check(self, config: Any) -> None:
        """Raises ConfigError where settings do not fit together."""

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        """Returns what examples are made into.

        Args:
            config: The settings.
            examples: Of one part of the source.
            taught: Whether y is all that the loss compares with, rather than the finished model's.
        """
        raise NotImplementedError

    def notes(self, config: Any) -> tuple[str, ...]:
        """Returns what was decided for the user, a line each, with the setting that changes it."""
        return ()

    def ease(self, config: Any, scenes: "Scenes") -> Callable[[Any, Any], Any] | None:
        """Returns what training makes of parameters that scenes drew, by the step; None to keep."""
        return None

    def interface(self, config: Any, source: Source) -> ModelInterface:
        """Returns what the network takes and gives."""
        raise NotImplementedError

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        """Returns the untrained network; `config.model` is one of `networks`."""
        raise NotImplementedError

    def objective(self, config: Any) -> tuple[Any, Sequence[Any]]:
        """Returns loss and metrics, as `fit` takes them."""
        import keras

        from stn_tf.training.error_percent import ErrorPercent

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True), (ErrorPercent(),)

    def trains_more(self, config: Any) -> bool:
        """Whether what is trained has outputs that the finished model lacks."""
        return False

    def trained(self, config: Any, interface: ModelInterface) -> "keras.Model":
        """Returns the untrained network with all outputs that the loss compares."""
        return self.model(config, interface)

    def source(self, config: Any) -> Source:
        """Reads the digits."""
        folder = None if config.data_dir is None else Path(config.data_dir)
        return load_source(config.source, folder)

    def prepare(self, config: Any, split: Path | None = None) -> Prepared:
        self._check_model(config.model)
        self.check(config)
        if config.data_dir is not None:
            config = config.model_copy(update={"data_dir": str(Path(config.data_dir).resolve())})
        source = self.source(config)
        interface = self.interface(config, source)
        data = _Data(self, config, source)
        return Prepared(
            config,
            interface,
            build=lambda: self.trained(config, interface),
            train=data,
            parts=data.part,
            objective=lambda: self.objective(config),
            notes=(*source.notes, *self.notes(config)),
            validation=data.part("validation", taught=True),
            trains_more=self.trains_more(config),
        )

    def model(self, config: Any, interface: ModelInterface) -> "keras.Model":
        self._check_model(config.model)
        return self.network(config, interface)

    def _check_model(self, name: str) -> None:
        if name not in self.networks:
            near = difflib.get_close_matches(name, self.networks, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise ConfigError(
                f"`model` must be one of {', '.join(self.networks)}, but it is {name!r}.{hint}"
            )


class _Data:
    """Batches of a source; a batch of training is a function of seed and step."""

    def __init__(self, recipe: DigitsRecipe, config: Any, source: Source):
        self._recipe = recipe
        self._config = config
        self._source = source

    @cached_property
    def _training(self) -> "Scenes":
        return self._recipe.scenes(self._config, self._source.train, taught=True)

    def batches(
        self, start_step: int, *, replicas: int = 1, replica_ids: Sequence[int] = (0,)
    ) -> "tf.data.Dataset":
        from stn_tf.paper.pipeline import training_dataset

        return training_dataset(
            self._training,
            batch_size=self._config.batch_size,
            seed=self._config.seed,
            start_step=start_step,
            replicas=replicas,
            replica_ids=replica_ids,
            ease=self._recipe.ease(self._config, self._training),
        )

    def part(self, name: str, *, taught: bool = False) -> Iterable[Any]:
        """Returns the scenes of a part, drawn in the way that is fixed for all runs."""
        return Batches(lambda: self._evaluation(name, taught))

    def _evaluation(self, name: str, taught: bool) -> "tf.data.Dataset":
        from stn_tf.paper.pipeline import evaluation_dataset

        examples = getattr(self._source, name)
        return evaluation_dataset(
            self._recipe.scenes(self._config, examples, taught=taught),
            batch_size=self._config.batch_size,
            seed=EVALUATION_SEED,
        )
