"""What one pass over images says of a model, against NumPy."""

import keras
import numpy as np
import pytest

from stn_tf.errors import DataError
from stn_tf.experiments import survey as surveys
from stn_tf.experiments.class_answers import classifies
from stn_tf.experiments.survey import survey
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.layers import SpatialTransformer

_NAMES = ("a", "b", "c")


def _interface(
    shape=(8, 8, 1), names=_NAMES, meaning="logits", task="classification", outputs=None
) -> ModelInterface:
    spec = InputSpec(
        name="images",
        dtype="float32",
        shape=(None, *shape),
        layout="NHWC",
        color_space="grayscale",
        value_range=(0.0, 1.0),
    )
    width = len(names) if outputs is None else outputs
    given = OutputSpec(name="out", dtype="float32", shape=(None, width), meaning=meaning)
    return ModelInterface(inputs=(spec,), outputs=(given,), task=task, class_names=names)


def _classifier(outputs: int = 3, **transformer) -> keras.Model:
    images = keras.Input((8, 8, 1))
    hidden = images
    if transformer:
        # Theta depends on the image: no two are alike.
        random = keras.initializers.RandomNormal(stddev=0.4, seed=1)
        localisation = keras.Sequential(
            [keras.layers.Flatten(), keras.layers.Dense(4, kernel_initializer=random)]
        )
        layer = SpatialTransformer(localisation, **transformer, name="look")
        hidden = layer(images)
        kernel = layer.regression.trainable_variables[0]
        kernel.assign(np.random.default_rng(2).normal(0, 0.3, kernel.shape))
    features = keras.layers.Flatten()(hidden)
    initializer = keras.initializers.RandomNormal(stddev=1.0, seed=3)
    return keras.Model(
        images, keras.layers.Dense(outputs, kernel_initializer=initializer)(features)
    )


def _batches(rng, count=30, size=7, classes=3, one_hot=False):
    images = rng.random((count, 8, 8, 1), np.float32)
    labels = rng.integers(0, classes, count)
    given = np.eye(classes, dtype=np.float32)[labels] if one_hot else labels
    starts = range(0, count, size)
    return images, labels, [(images[s : s + size], given[s : s + size]) for s in starts]


@pytest.mark.parametrize("one_hot", [False, True])
def test_confusion_and_worst_mistakes_preset(rng, one_hot):
    model = _classifier()
    images, labels, batches = _batches(rng, one_hot=one_hot)
    names = [f"image-{index}.png" for index in range(len(images))]
    found = survey(model, batches, _interface(), split="validation", names=names)
    logits = model(images).numpy().astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = shares.argmax(axis=1)
    expected = np.zeros((3, 3), int)
    for label, answer in zip(labels, predicted, strict=True):
        expected[label, answer] += 1
    np.testing.assert_array_equal(found.confusion, expected)
    assert (found.split, found.images, found.transformers, found.outside) == (
        "validation", 30, (), (),
    )  # fmt: skip
    wrong = [index for index in range(30) if labels[index] != predicted[index]]
    worst = sorted(wrong, key=lambda index: -shares[index].max())[:12]
    assert [example.index for example in found.mistakes] == worst
    for example, index in zip(found.mistakes, worst, strict=True):
        assert example.name == names[index]
        assert (example.label, example.predicted) == (labels[index], predicted[index])
        assert example.probability == pytest.approx(shares[index].max(), abs=1e-6)
        np.testing.assert_allclose(example.picture.image, images[index], atol=1e-6)
        assert example.inputs is None


def test_two_classes_by_one_output(rng):
    model = _classifier(outputs=1)
    images, labels, batches = _batches(rng, classes=2)
    interface = _interface(names=("no", "yes"), outputs=1, task="binary")
    found = survey(model, batches, interface)
    second = model(images).numpy()[:, 0] > 0
    for label in (0, 1):
        expected = np.bincount(second[labels == label].astype(int), minlength=2)
        np.testing.assert_array_equal(found.confusion[label], expected)


@pytest.mark.parametrize("crops", [None, 3])
@pytest.mark.parametrize("align_corners", [False, True])
def test_theta_and_points_outside_preset(rng, crops, align_corners):
    model = _classifier(
        transform="affine", output_size=(5, 6), crops=crops, align_corners=align_corners
    )
    images, _, batches = _batches(rng)
    found = survey(model, batches, _interface())
    layer = model.get_layer("look")
    thetas = layer.theta(images).numpy().reshape(30, crops or 1, 2, 3).astype(np.float64)
    (transformer,) = found.transformers
    assert transformer.name == "look"
    np.testing.assert_allclose(transformer.thetas, thetas.reshape(30, -1, 6), atol=1e-5)
    if align_corners:
        x, y = np.linspace(-1, 1, 6), np.linspace(-1, 1, 5)
        edge = 8 / 7
    else:
        x, y = (2 * np.arange(6) + 1) / 6 - 1, (2 * np.arange(5) + 1) / 5 - 1
        edge = 1.0
    points = np.stack([*map(np.ravel, np.meshgrid(x, y)), np.ones(30)])
    outside = (np.abs(thetas @ points) > edge).any(axis=-2).mean(axis=-1)
    np.testing.assert_allclose(transformer.outside, outside.mean(axis=0), atol=1e-6)
    assert transformer.mostly_outside == (outside.mean(axis=1) > 0.5).sum()
    most = sorted(range(30), key=lambda index: -outside[index].mean())[:4]
    shares = [example.outside for example in found.outside]
    np.testing.assert_allclose(shares, outside.mean(axis=1)[most], atol=1e-6)


def test_theta_of_many_images_is_drawn_at_random(rng, monkeypatch):
    monkeypatch.setattr(surveys, "MOST_THETAS", 10)
    model = _classifier(transform="attention", output_size=(4, 4))
    images, _, batches = _batches(rng)
    first, again = (survey(model, batches, _interface()) for _ in range(2))
    thetas = model.get_layer("look").theta(images).numpy()
    kept = first.transformers[0].thetas[:, 0]
    places = [int(np.abs(thetas - theta).sum(axis=1).argmin()) for theta in kept]
    np.testing.assert_allclose(thetas[places], kept, atol=1e-5)
    assert len(set(places)) == 10
    assert places == sorted(places)
    assert max(places) >= 10, "the first ones would be of few classes"
    np.testing.assert_array_equal(kept, again.transformers[0].thetas[:, 0])


def test_several_calls_of_transformers_have_names_of_their_own(rng):
    images = keras.Input((8, 8, 1))
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    layer = SpatialTransformer(localisation, "attention", (8, 8), name="look")
    other = SpatialTransformer(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)]), "tps", name="bend"
    )
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(other(layer(layer(images)))))
    found = survey(keras.Model(images, outputs), _batches(rng)[2], _interface())
    assert [t.name for t in found.transformers] == ["look", "look (2)", "bend"]
    assert found.transformers[2].thetas.shape == (30, 1, 32)


def test_pictures_in_the_batch_count_as_crops(rng):
    frames = keras.Input((2, 8, 8, 1))
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    layer = SpatialTransformer(localisation, "attention", (4, 4))
    crops = layer(keras.ops.reshape(frames, (-1, 8, 8, 1)))
    features = keras.ops.reshape(crops, (-1, 2 * 4 * 4))
    model = keras.Model(frames, keras.layers.Dense(3)(features))
    spec = InputSpec(name="frames", dtype="float32", shape=(None, 2, 8, 8, 1))
    interface = _interface().model_copy(update={"inputs": (spec,)})
    data = [(rng.random((6, 2, 8, 8, 1), np.float32), rng.integers(0, 3, 6))]
    found = survey(model, data, interface)
    assert found.transformers[0].thetas.shape == (6, 2, 3)
    assert all(example.picture.image is None for example in found.mistakes)
    assert all(example.picture.views == () for example in found.mistakes)


def test_a_task_without_classes_has_no_confusion(rng):
    model = _classifier(outputs=2, transform="affine", output_size=(4, 4))
    interface = _interface(names=(), outputs=2, meaning="raw", task="regression")
    images, _, _ = _batches(rng)
    found = survey(model, [(images, np.zeros((30, 2)))], interface)
    assert found.confusion is None
    assert found.mistakes == ()
    assert (found.images, len(found.outside), len(found.transformers)) == (30, 4, 1)
    assert found.outside[0].label is None


def test_without_looks_mistakes_are_counted_alone(rng):
    model = _classifier(transform="affine", output_size=(4, 4))
    _, _, batches = _batches(rng)
    found, alone = (survey(model, batches, _interface(), looks=looks) for looks in (True, False))
    np.testing.assert_array_equal(alone.confusion, found.confusion)
    assert (alone.mistakes, alone.outside, alone.transformers) == ((), (), ())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"task": "binary"}, True),
        ({"task": "multilabel"}, False),
        ({"class_names": ()}, False),
        ({"outputs": _interface().outputs * 2}, False),
    ],
)
def test_classifies_preset(changes, expected):
    assert classifies(_interface().model_copy(update=changes)) is expected


def test_exception_raised(rng):
    images, _, _ = _batches(rng)
    with pytest.raises(DataError, match=r"The part test of the data has no images"):
        survey(_classifier(), [], _interface())
    with pytest.raises(DataError, match=r"Labels of test must be in 0\.\.2, .* from 0 to 3"):
        survey(_classifier(), [(images[:4], np.arange(4))], _interface())
