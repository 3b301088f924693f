"""Splits by the hash of names."""

import hashlib

import numpy as np

from stn_tf.data.split import TEST, TRAIN, VALIDATION, stratified_split


def test_the_first_hashes_of_each_class_are_set_aside() -> None:
    names = [f"wörter/{index}.png" for index in range(200)]
    labels = np.arange(200) % 3
    parts = stratified_split(names, labels, validation=0.1, test=0.2)
    for label in range(3):
        own = [name for name, of in zip(names, labels, strict=True) if of == label]
        own.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        tests, validations = round(0.2 * len(own)), round(0.1 * len(own))
        found = [parts[names.index(name)] for name in own]
        rest = len(own) - tests - validations
        assert found == [TEST] * tests + [VALIDATION] * validations + [TRAIN] * rest


def test_the_split_depends_on_names_alone(rng: np.random.Generator) -> None:
    names = np.array([f"{index}" for index in range(100)])
    labels = np.arange(100) % 2
    parts = stratified_split(names, labels, validation=0.1, test=0.2)
    order = rng.permutation(100)
    again = stratified_split(names[order], labels[order], validation=0.1, test=0.2)
    np.testing.assert_array_equal(again, parts[order])


def test_a_wanted_part_is_never_empty() -> None:
    names, labels = ["a", "b", "c", "d"], np.zeros(4, int)
    assert sorted(stratified_split(names, labels, validation=0.01, test=0.01)) == [0, 0, 1, 2]
    assert sorted(stratified_split(names, labels, validation=0.0, test=0.5)) == [0, 0, 2, 2]
    assert len(stratified_split([], np.zeros(0, int), validation=0.1, test=0.1)) == 0
