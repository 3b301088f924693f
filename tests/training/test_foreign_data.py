"""Data that is no function of the step: which batches come, in which order, from which place."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ConfigError, DataError
from stn_tf.training.dataset_graph import unseeded_operations, why_state_is_not_saved
from stn_tf.training.feed import next_batch, open_feed

ONE = tf.distribute.get_strategy()
NUMBERS = tf.data.Dataset.range(20)


def _noise(seed=None):
    return lambda x: x + tf.random.uniform([], 0, 9, tf.int64, seed=seed)


def _python(x):
    return tf.numpy_function(lambda x: x, [x], tf.int64)


@pytest.mark.parametrize(
    ("dataset", "unseeded", "unsaved"),
    [
        (NUMBERS.shuffle(5, seed=1), [], None),
        (NUMBERS.shuffle(5).batch(2).repeat(), ["shuffle"], None),
        (NUMBERS.shuffle(5).shuffle(6), ["shuffle (2 times)"], None),
        (NUMBERS.shuffle(5, reshuffle_each_iteration=False), ["shuffle"], None),
        (NUMBERS.interleave(lambda x: NUMBERS.shuffle(3)), ["shuffle"], "DummySeedGenerator is s"),
        (NUMBERS.interleave(lambda x: NUMBERS.shuffle(3, seed=2)), [], "DummySeedGenerator is s"),
        (NUMBERS.map(_noise()), ["RandomUniformInt"], "RandomUniformInt is stateful"),
        (NUMBERS.map(_noise(seed=4)), [], "RandomUniformInt is stateful"),
        (NUMBERS.map(_python), [], "PyFunc is stateful"),
        (NUMBERS.map(lambda x: tf.random.stateless_uniform([], [0, x])), [], None),
        (NUMBERS.cache().prefetch(2), [], None),
    ],
)
def test_what_a_dataset_is_made_of(dataset, unseeded, unsaved):
    assert unseeded_operations(dataset) == unseeded
    reason = why_state_is_not_saved(dataset)
    if unsaved is None:
        assert reason is None
    else:
        assert reason.startswith(unsaved)


def test_looking_into_a_dataset_does_not_change_its_order():
    orders = []
    for look in (False, True):
        tf.random.set_seed(1)
        dataset = NUMBERS.shuffle(20, seed=2)
        if look:
            open_feed(dataset.batch(1), ONE, seed=0)
        orders.append([list(map(int, dataset)) for _ in range(2)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]


def _taken(iterator, count):
    return [next(iterator).numpy().tolist() for _ in range(count)]


def test_a_dataset_is_repeated_and_goes_on_from_its_state(tmp_path):
    dataset = NUMBERS.batch(8)
    feed = open_feed(dataset, ONE, seed=0)
    iterator = feed.iterator(0)
    first = _taken(iterator, 4)
    assert [len(batch) for batch in first] == [8, 8, 4, 8]
    assert first[3] == list(range(8))
    feed.save(tmp_path / "iterator")
    rest = _taken(iterator, 4)
    again = open_feed(dataset, ONE, seed=0)
    assert again.restore(tmp_path / "iterator")
    assert _taken(again.iterator(4), 4) == rest
    skipping = open_feed(dataset.map(lambda x: tf.ensure_shape(_python(x), [None])), ONE, seed=0)
    skipping.save(tmp_path / "other")
    assert not list(tmp_path.glob("other*"))
    assert _taken(skipping.iterator(4), 4) == rest


def test_a_state_of_another_dataset_is_skipped(tmp_path):
    feed = open_feed(NUMBERS.shuffle(5, seed=1).batch(8), ONE, seed=0)
    _taken(feed.iterator(0), 2)
    feed.save(tmp_path / "iterator")
    again = open_feed(NUMBERS.batch(8), ONE, seed=0)
    notes = []
    again.notify = notes.append
    assert not again.restore(tmp_path / "iterator")
    assert "does not fit `train` as it is now" in notes[0]
    assert _taken(again.iterator(1), 1) == [list(range(8, 16))]


def test_examples_exception_raised():
    with pytest.raises(ConfigError, match=r"`train` must give batches, .* add `\.batch\(\.\.\.\)`"):
        open_feed(NUMBERS, ONE, seed=0)


def test_a_state_that_is_too_large_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("stn_tf.training.foreign_data._LARGEST_STATE", 2000)
    feed = open_feed(NUMBERS.shuffle(20, seed=1).batch(2), ONE, seed=0)
    notes = []
    feed.notify = notes.append
    next(feed.iterator(0))
    for _ in range(2):
        feed.save(tmp_path / "iterator")
        assert list(tmp_path.iterdir()) == []
    assert len(notes) == 1
    assert "so that it is not kept: `train` resumes by reading again and skipping" in notes[0]


def test_an_endless_dataset_and_an_empty_one():
    endless = open_feed(NUMBERS.repeat().batch(3), ONE, seed=0)
    assert _taken(endless.iterator(7), 1) == [[1, 2, 3]]
    empty = open_feed(NUMBERS.take(0).batch(1), ONE, seed=0)
    with pytest.raises(DataError, match="`train` has no batches"):
        empty.first()
    with pytest.raises(DataError, match="`train` ended after 0 batches"):
        next_batch(empty.iterator(0), 0)


class Numbers(keras.utils.PyDataset):
    """Batches [number, epoch] of an unknown and a known size, that remember what is asked."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self._count, self.epoch, self.asked = count, 0, []

    @property
    def num_batches(self):
        return self._count

    def __getitem__(self, index):
        self.asked.append(index)
        return np.array([[index, self.epoch]]), np.zeros(1)

    def on_epoch_end(self):
        self.epoch += 1


def _pairs(iterator, count):
    return [tuple(next(iterator)[0].numpy()[0].tolist()) for _ in range(count)]


@pytest.mark.parametrize("options", [{}, {"workers": 3, "max_queue_size": 2}])
def test_a_pydataset_has_another_order_each_epoch_and_can_be_skipped(options):
    data = Numbers(6, **options)
    feed = open_feed(data, ONE, seed=7)
    seen = _pairs(feed.iterator(0), 18)
    assert [epoch for _, epoch in seen] == [0] * 6 + [1] * 6 + [2] * 6
    orders = [[number for number, _ in seen[start : start + 6]] for start in (0, 6, 12)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert orders[0] != orders[1]
    for start in (0, 4, 6, 13):
        again = Numbers(6, **options)
        assert _pairs(open_feed(again, ONE, seed=7).iterator(start), 5) == seen[start : start + 5]
        # Nothing that is skipped is read, but for the first, which tells the shapes.
        assert len(again.asked) <= 5 + 1 + 6
    other = _pairs(open_feed(Numbers(6), ONE, seed=8).iterator(0), 6)
    assert [number for number, _ in other] != orders[0]


def test_a_pydataset_without_end_is_read_in_order():
    feed = open_feed(Numbers(None), ONE, seed=0)
    assert [number for number, _ in _pairs(feed.iterator(3), 4)] == [3, 4, 5, 6]
    with pytest.raises(DataError, match="`train` has no batches"):
        open_feed(Numbers(0), ONE, seed=0)


def test_a_pydataset_says_what_is_decided():
    feed = open_feed(Numbers(3, workers=2, use_multiprocessing=True), ONE, seed=0)
    assert feed.notes[1] == "Its workers are threads: `use_multiprocessing` is not used."
    assert feed.element_spec[0].shape.as_list() == [None, 2]
