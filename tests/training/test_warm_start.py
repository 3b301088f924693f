"""Initial weights from other training, or from files."""

import keras
import numpy as np
import pytest

from stn_tf.errors import RunError
from stn_tf.training import fit
from stn_tf.training.warm_start import start_from


def _model(classes=10, *, names=True, more=False):
    def name(text):
        return {"name": text} if names else {}

    layers = [
        keras.layers.Conv2D(3, 3, **name("stem")),
        keras.layers.BatchNormalization(**name("norm")),
        keras.layers.Conv2D(3, 3, **name("conv")),
        *([keras.layers.Dense(4, **name("more"))] if more else []),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(classes, **name("logits")),
    ]
    x = images = keras.Input((8, 8, 1))
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def _source(tmp_path, kind, digits, config, loss, **options):
    model = _model(**options)
    if kind == "run":
        settings = config(steps=2, ema=0.5)
        fit(model, digits.by_step(), None, settings, loss=loss, out=tmp_path, progress=False)
        return model, tmp_path
    model.set_weights([w + 0.25 for w in model.get_weights()])
    path = tmp_path / f"model{kind}"
    if kind == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    return model, path


def _same(one, other, names):
    return all(
        np.array_equal(a, b)
        for name in names
        for a, b in zip(
            one.get_layer(name).get_weights(), other.get_layer(name).get_weights(), strict=True
        )
    )


@pytest.mark.parametrize("kind", ["run", ".keras", ".weights.h5"])
def test_layers_that_fit_take_their_weights(tmp_path, digits, config, loss, kind):
    model, path = _source(tmp_path, kind, digits, config, loss)
    other = _model(classes=3)
    head = other.get_layer("logits").get_weights()
    line = start_from(path, other)
    assert line == (
        f"Weights of 3 layers are from `{path}`; others stay as they were: logits (`init`)."
    )
    assert _same(model, other, ["stem", "norm", "conv"])
    for now, before in zip(other.get_layer("logits").get_weights(), head, strict=True):
        np.testing.assert_array_equal(now, before)
    assert not np.any(np.isnan(other.get_layer("logits").get_weights()[0]))
    whole = _model()
    assert start_from(path, whole) == f"Weights of 4 layers are from `{path}` (`init`)."
    assert _same(model, whole, ["stem", "norm", "conv", "logits"])


@pytest.mark.parametrize("kind", ["run", ".keras"])
def test_names_that_keras_made_up_are_matched_by_order(tmp_path, digits, config, loss, kind):
    model, path = _source(tmp_path, kind, digits, config, loss, names=False)
    other = _model(names=False)
    assert {layer.name for layer in model.layers[1:]}.isdisjoint(
        layer.name for layer in other.layers
    )
    assert start_from(path, other).startswith("Weights of 4 layers are from")
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_layers_that_only_one_of_them_has(tmp_path, digits, config, loss):
    model, path = _source(tmp_path, ".keras", digits, config, loss)
    other = _model(more=True)
    line = start_from(path, other)
    assert "Weights of 3 layers are" in line
    # More channels come into the head, so that it is another one.
    assert "stay as they were: more, logits" in line
    assert _same(model, other, ["stem", "norm", "conv"])


@pytest.mark.parametrize("kind", [".keras", ".weights.h5"])
def test_nothing_that_fits_exception_raised(tmp_path, digits, config, loss, kind):
    _, path = _source(tmp_path, kind, digits, config, loss)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    before = other.get_weights()
    with pytest.raises(RunError, match=r"`init` .* fits no layer of the model|cannot be loaded"):
        start_from(path, other)
    for one, two in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_cannot_be_read_exception_raised(tmp_path):
    model = _model()
    with pytest.raises(RunError, match=r"`init` .*/none is not there"):
        start_from(tmp_path / "none", model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no checkpoint"):
        start_from(tmp_path / "empty", model)
    for name in ("a.keras", "b.weights.h5"):
        (tmp_path / name).write_text("no weights")
        with pytest.raises(RunError, match=f"`init` .*{name} cannot be loaded"):
            start_from(tmp_path / name, model)


def test_fit_starts_warm_and_only_once(tmp_path, capsys, digits, config, loss):
    _, path = _source(tmp_path, ".keras", digits, config, loss)
    arguments = {"loss": loss, "init": path, "out": tmp_path / "run"}
    still = config(steps=1, learning_rate=1e-30)
    result = fit(_model, digits.by_step(), None, still, **arguments)
    assert "Weights of 4 layers are from" in capsys.readouterr().err
    loaded = keras.saving.load_model(path)
    assert _same(result.model, loaded, ["stem", "conv"])
    # Where there is a checkpoint to go on from, that counts.
    more = config(steps=3)
    fit(_model, digits.by_step(), None, more, resume=True, **arguments)
    assert "Weights of" not in capsys.readouterr().err
