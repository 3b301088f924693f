"""Rates, freezing and decay by the names of layers."""

import keras
import numpy as np
import pytest

from stn_tf.errors import ConfigError
from stn_tf.layers import SpatialTransformer
from stn_tf.training import fit
from stn_tf.training.parts import (
    Freeze,
    decays,
    moving_statistics,
    named_layers,
    rate_factors,
    unsynchronised,
)
from stn_tf.training.step import Trainer


def _nested():
    """A backbone that localisation shares, as one nested model within another."""
    images = keras.Input((8, 8, 1))
    hidden = keras.layers.Conv2D(2, 3, name="stem")(images)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    backbone = keras.Model(images, keras.layers.Flatten()(hidden), name="backbone")
    inner = keras.Input((8, 8, 1))
    code = keras.layers.Dense(4, name="code")(backbone(inner))
    localisation = keras.Model(inner, code, name="localisation")
    outer = keras.Input((8, 8, 1))
    crops = SpatialTransformer(localisation, "affine", (8, 8), name="look")(outer)
    logits = keras.layers.Dense(3, name="logits")(backbone(crops))
    return keras.Model(outer, logits)


def _by_path(model, factors):
    paths = ("/".join(v.path.split("/")[-2:]) for v in model.trainable_variables)
    return dict(zip(paths, factors, strict=True))


def test_shared_weights_are_no_part_of_localisation():
    model = _nested()
    factors = _by_path(model, rate_factors(model, 0.1, {}))
    slow = {path for path, factor in factors.items() if factor == 0.1}
    assert slow == {"code/kernel", "code/bias", "theta/kernel", "theta/bias"}
    assert {factors[path] for path in set(factors) - slow} == {1.0}


def test_rates_multiply_wherever_layers_are():
    model = _nested()
    rates = {"backbone": 0.5, "stem": 0.5, "look": 2.0}
    factors = _by_path(model, rate_factors(model, 0.1, rates))
    assert factors["stem/kernel"] == pytest.approx(0.5 * 0.5 * 2.0)
    assert factors["norm/gamma"] == pytest.approx(0.5 * 2.0)
    assert factors["code/kernel"] == pytest.approx(0.1 * 2.0)
    assert factors["logits/kernel"] == 1.0


def test_unknown_layer_exception_raised():
    with pytest.raises(ConfigError) as caught:
        named_layers(_nested(), ["backbon"], "rates")
    text = str(caught.value)
    assert text.startswith(
        "`rates` must name layers of the model, but none is called 'backbon'. Did you mean "
        "`backbone`? Those with weights: "
    )
    assert {"look", "localisation", "backbone", "stem", "norm", "code", "logits"} <= set(
        text.rpartition(": ")[2].rstrip(".").split(", ")
    )


def test_only_kernels_decay():
    model = _nested()
    decaying = {v.path.split("/")[-1] for v in model.trainable_variables if decays(v)}
    staying = {v.path.split("/")[-1] for v in model.trainable_variables if not decays(v)}
    assert decaying == {"kernel"}
    assert staying == {"bias", "gamma", "beta"}


def test_frozen_layers_are_as_they_were_afterwards():
    model = _nested()
    model.get_layer("backbone").get_layer("norm").trainable = False
    before = [v.path for v in model.trainable_variables]
    assert unsynchronised(model) == []
    with Freeze(model, ["backbone"]):
        assert not any("stem" in v.path for v in model.trainable_variables)
        assert moving_statistics(model) == []
    assert [v.path for v in model.trainable_variables] == before
    # What was frozen before still is.
    assert not model.get_layer("backbone").get_layer("norm").trainable
    model.get_layer("backbone").get_layer("norm").trainable = True
    assert unsynchronised(model) == ["norm"]
    assert [v.name for v in moving_statistics(model)] == ["moving_mean", "moving_variance"]


def _small():
    layers = [
        keras.layers.Conv2D(2, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def test_frozen_layers_keep_all_their_weights(tmp_path, monkeypatch, digits, config, loss):
    """Also their moving statistics and moments; and after being stopped in between."""
    seen = {}
    step = Trainer.step

    def watched(self, batches, **options):
        sums = step(self, batches, **options)
        weights = [w for name in ("conv", "norm") for w in self.model.get_layer(name).get_weights()]
        moments = {v.path: v.numpy() for v in self._updater.variables if "conv_kernel" in v.path}
        seen[len(seen) + 1] = weights, moments
        return sums

    monkeypatch.setattr(Trainer, "step", watched)
    settings = config(
        steps=5,
        frozen=("conv", "norm"),
        frozen_steps=3,
        weight_decay=0.1,
        learning_rate_schedule="constant",
    )
    arguments = {"loss": loss, "progress": False}
    whole = fit(_small, digits.by_step(), None, settings, out=tmp_path / "a", **arguments)
    for earlier, later, changes in ((1, 3, False), (3, 4, True), (4, 5, True)):
        pairs = zip(seen[earlier][0], seen[later][0], strict=True)
        assert {np.array_equal(a, b) for a, b in pairs} == {not changes}
    assert len(seen[3][1]) == 2
    assert not any(moment.any() for moment in seen[3][1].values())
    assert all(moment.any() for moment in seen[4][1].values())
    assert all(layer.trainable for layer in whole.model.layers)

    for steps in (2, 5):
        part = settings.model_copy(update={"steps": steps})
        cut = fit(
            _small, digits.by_step(), None, part, out=tmp_path / "b", resume=True, **arguments
        )
    for a, b in zip(cut.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
