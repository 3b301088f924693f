"""Training data that is no function of the step: a tf.data.Dataset, or Keras's PyDataset."""

import concurrent.futures
import itertools
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ConfigError, DataError
from stn_tf.training.dataset_graph import operations, unseeded_operations, why_state_is_not_saved
from stn_tf.training.feed import Feed
from stn_tf.training.validation import standard

_LARGEST_STATE = 256 * 2**20
_OPERATIONS = ".operations"


class DatasetFeed(Feed):
    """A dataset of global batches, repeated when it ends."""

    def __init__(self, dataset: tf.data.Dataset, strategy: tf.distribute.Strategy):
        check_batched(dataset, "train")
        self._dataset = dataset
        self._strategy = strategy
        self._replicas = strategy.num_replicas_in_sync
        self._iterator: Any = None
        reason = (
            f"{self._replicas} devices share it"
            if self._replicas > 1
            else why_state_is_not_saved(dataset)
        )
        self._saves = reason is None
        how = (
            "by the state of its iterator, which checkpoints hold"
            if self._saves
            else f"by reading again and skipping what was used, because {reason}"
        )
        self.notes: tuple[str, ...] = (f"The dataset `train` resumes {how}.",)
        if unseeded := unseeded_operations(dataset):
            self.notes += (
                "Training on `train` cannot be repeated or resumed exactly, because it draws "
                f"random numbers without a seed: {', '.join(unseeded)}. Give each a seed.",
            )

    @property
    def element_spec(self) -> Any:
        return self._dataset.element_spec

    def first(self) -> Any:
        for batch in self._dataset.take(1):
            return batch
        raise DataError("`train` has no batches.")

    def iterator(self, batches: int) -> Iterator[Any]:
        if self._iterator is None:
            self._iterator = self._start(batches)
        return self._iterator

    def save(self, prefix: Path) -> None:
        if not self._saves:
            return
        tf.train.Checkpoint(iterator=self._iterator).write(str(prefix))
        prefix.with_suffix(_OPERATIONS).write_text(operations(self._dataset))
        files = list(prefix.parent.glob(f"{prefix.name}.*"))
        size = sum(file.stat().st_size for file in files)
        if size > _LARGEST_STATE:
            # Shuffling keeps the elements of its buffer in the state.
            self._saves = False
            for file in files:
                file.unlink()
            self.notify(
                f"The state of the dataset's iterator has {size / 1e6:,.0f} MB, so that it is not "
                "kept: `train` resumes by reading again and skipping what was used."
            )

    def restore(self, prefix: Path) -> bool:
        iterator = self._start(0)
        try:
            tf.train.Checkpoint(iterator=iterator).read(str(prefix)).assert_consumed()
            # TensorFlow takes the state of quite another dataset without a word.
            fits = prefix.with_suffix(_OPERATIONS).read_text() == operations(self._dataset)
        except (OSError, tf.errors.OpError, AssertionError, ValueError):
            fits = False
        if not fits:
            self.notify(
                "The state of the dataset's iterator does not fit `train` as it is now, so that "
                "what was used is skipped."
            )
            return False
        self._iterator = iterator
        return True

    def _start(self, batches: int) -> Any:
        dataset = self._endless().skip(batches) if batches else self._endless()
        return iter(distributed(dataset, self._strategy))

    def _endless(self) -> tf.data.Dataset:
        endless = self._dataset.cardinality() == tf.data.INFINITE_CARDINALITY
        return self._dataset if endless else self._dataset.repeat()


class PyDatasetFeed(Feed):
    """The batches of a PyDataset, in another order each epoch."""

    def __init__(self, dataset: keras.utils.PyDataset, strategy: tf.distribute.Strategy, seed: int):
        self._dataset = dataset
        self._strategy = strategy
        self._seed = seed
        self._count = dataset.num_batches
        if self._count == 0:
            raise DataError("`train` has no batches.")
        self._first = standard(dataset[0])
        exact = "its batches depend on their number and on the epochs it was told of"
        self.notes: tuple[str, ...] = (
            f"The PyDataset `train` resumes by skipping what was used: exactly, if {exact}.",
        )
        if dataset.use_multiprocessing:
            self.notes += ("Its workers are threads: `use_multiprocessing` is not used.",)

    @property
    def element_spec(self) -> Any:
        def spec(array: Any) -> tf.TensorSpec:
            array = np.asarray(array)
            return tf.TensorSpec([None, *array.shape[1:]], array.dtype)

        return tf.nest.map_structure(spec, self._first)

    def first(self) -> Any:
        return tf.nest.map_structure(tf.convert_to_tensor, self._first)

    def iterator(self, batches: int) -> Iterator[Any]:
        dataset = tf.data.Dataset.from_generator(
            lambda: self._batches(batches), output_signature=self.element_spec
        )
        return iter(distributed(dataset.prefetch(1), self._strategy))

    def _batches(self, start: int) -> Iterator[Any]:
        """Reads ahead in order, in as many threads as the dataset wants."""
        workers = max(int(self._dataset.workers), 1)
        ahead = max(int(self._dataset.max_queue_size), 1) if workers > 1 else 0
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for indices in self._epochs(start):
                waiting: deque[Any] = deque()
                for index in indices:
                    waiting.append(pool.submit(self._dataset.__getitem__, index))
                    if len(waiting) > ahead:
                        yield standard(waiting.popleft().result())
                while waiting:
                    yield standard(waiting.popleft().result())

    def _epochs(self, start: int) -> Iterator[Any]:
        """Gives the indices of each epoch that are left, and tells the dataset of its epochs."""
        if self._count is None:
            yield itertools.count(start)
            return
        skipped = start
        for epoch in itertools.count():
            self._dataset.on_epoch_begin()
            order = np.random.default_rng((self._seed, epoch)).permutation(self._count)
            left = order[min(skipped, self._count) :]
            skipped -= self._count - len(left)
            yield map(int, left)
            self._dataset.on_epoch_end()


def check_batched(dataset: tf.data.Dataset, name: str) -> None:
    """Raises ConfigError if a dataset gives single examples, as far as can be seen."""
    ranks = [spec.shape.rank for spec in tf.nest.flatten(dataset.element_spec)]
    if 0 in ranks:
        raise ConfigError(f"`{name}` must give batches, but it gives examples: add `.batch(...)`.")


def distributed(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Returns global batches, each shared out among all replicas."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset.prefetch(1)
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    # A batch of fewer examples would leave a replica without any.
    enough = dataset.filter(lambda *batch: tf.shape(tf.nest.flatten(batch)[0])[0] >= replicas)
    return strategy.experimental_distribute_dataset(enough.with_options(options))
