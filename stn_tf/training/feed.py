"""Where batches of training come from, and how a run finds its place in them again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf

from stn_tf.errors import ConfigError, DataError
from stn_tf.training.strategy import local_replica_ids


@runtime_checkable
class StepData(Protocol):
    """Data whose batches are a function of the step, so that a run goes on anywhere in them."""

    def batches(
        self, start_step: int, *, replicas: int, replica_ids: Sequence[int]
    ) -> tf.data.Dataset:
        """Returns the batches from a step on.

        Args:
            start_step: Counted from 0.
            replicas: How many replicas share the batch of a step, in equal parts.
            replica_ids: Which of them this dataset is for.

        Returns:
            Elements (x, y) or (x, y, sample weights): for each step one for each of `replica_ids`,
            in their order. It is endless, or long enough.
        """


class Feed:
    """Batches of training, in order.

    Attributes:
        notes: What was decided about them, a line each.
        equal_shares: Whether all replicas always have the same number of examples.
        notify: Is told what is decided later.
    """

    notes: tuple[str, ...] = ()
    equal_shares = False
    notify: Callable[[str], None] = staticmethod(lambda text: None)

    @property
    def element_spec(self) -> Any:
        """The structure, shapes and dtypes of a replica's batch."""
        raise NotImplementedError

    def first(self) -> Any:
        """Returns the first batch, of one replica."""
        raise NotImplementedError

    def iterator(self, batches: int) -> Iterator[Any]:
        """Returns what comes after some batches: elements as `strategy.run` takes them."""
        raise NotImplementedError

    def save(self, prefix: Path) -> None:
        """Writes the place in the data to files of a prefix, if it has a state."""

    def restore(self, prefix: Path) -> bool:
        """Finds the place again; returns whether it did, so that nothing need be skipped."""
        return False


class StepFeed(Feed):
    """Batches that are a function of the step."""

    equal_shares = True

    def __init__(self, data: StepData, strategy: tf.distribute.Strategy):
        self._data = data
        self._strategy = strategy
        replicas = strategy.num_replicas_in_sync
        try:
            self._first = data.batches(0, replicas=replicas, replica_ids=(0,))
        except ValueError as error:
            raise ConfigError(f"`train` cannot be shared by {replicas} replicas: {error}") from None

    @property
    def element_spec(self) -> Any:
        return self._first.element_spec

    def first(self) -> Any:
        return next(iter(self._first))

    def iterator(self, batches: int) -> Iterator[Any]:
        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return self._data.batches(
                batches,
                replicas=context.num_replicas_in_sync,
                replica_ids=local_replica_ids(context),
            )

        return iter(self._strategy.distribute_datasets_from_function(dataset))


def open_feed(train: Any, strategy: tf.distribute.Strategy, seed: int) -> Feed:
    """Returns the feed for data of any kind that `fit` takes.

    Raises:
        ConfigError: If it takes no such data.
        DataError: If there are no batches.
    """
    import keras

    from stn_tf.training.foreign_data import DatasetFeed, PyDatasetFeed

    if isinstance(train, tf.data.Dataset):
        return DatasetFeed(train, strategy)
    if isinstance(train, keras.utils.PyDataset):
        return PyDatasetFeed(train, strategy, seed)
    if isinstance(train, StepData):
        return StepFeed(train, strategy)
    raise ConfigError(
        "`train` must be a tf.data.Dataset, a keras.utils.PyDataset or an object with "
        f"`batches(start_step, replicas=..., replica_ids=...)`, but it is {type(train).__name__}."
    )


def next_batch(iterator: Iterator[Any], used: int) -> Any:
    """Returns the next batch.

    Raises:
        DataError: If there is none.
    """
    try:
        return next(iterator)
    except (StopIteration, tf.errors.OutOfRangeError):
        raise DataError(
            f"`train` ended after {used} batches, but training needs more. Give data that does not "
            "end, or fewer `steps`."
        ) from None
