"""Models whose signatures take serialized examples, of TensorFlow 1 and 2, good ones and bad ones.

All compute y = slope * x + 2 of the feature `x`, and call it large above 3.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1
PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def tensorflow_1_model(path: Path, slope: float, default: str = CLASSIFY) -> None:
    """Writes a version whose `serving_default` is for the method `default`."""
    with v1.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], "examples")
        x = v1.parse_example(examples, {"x": v1.FixedLenFeature([1], tf.float32)})["x"]
        y = x * v1.Variable(slope) + 2.0
        session.run(v1.global_variables_initializer())
        signatures = _good(examples, x, y) | _bad(examples, x, y)
        by_method = {CLASSIFY: "sizes", REGRESS: "line", PREDICT: "plain"}
        signatures["serving_default"] = signatures[by_method[default]]
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def _labels(y: Any) -> Any:
    large = tf.where(y > 3.0, tf.fill(tf.shape(y), "large"), tf.fill(tf.shape(y), "small"))
    return tf.concat([large, tf.fill(tf.shape(y), "any")], 1)


def _good(examples: Any, x: Any, y: Any) -> dict[str, Any]:
    given, labels, scores = {"inputs": examples}, _labels(y), tf.concat([y, -y], 1)
    return {
        "sizes": _signature(CLASSIFY, given, {"classes": labels, "scores": scores}),
        "labels": _signature(CLASSIFY, given, {"classes": labels}),
        "scores": _signature(CLASSIFY, given, {"scores": scores}),
        "line": _signature(REGRESS, given, {"outputs": y}),
        "flat": _signature(REGRESS, given, {"outputs": y[:, 0]}),
        "plain": _signature(PREDICT, {"x": x}, {"y": y}),
    }


def _bad(examples: Any, x: Any, y: Any) -> dict[str, Any]:
    given, labels, scores = {"inputs": examples}, _labels(y), tf.concat([y, -y], 1)
    classify = {
        "vector": {"scores": y[:, 0]},
        "numbers": {"classes": scores},
        "doubles": {"scores": tf.cast(scores, tf.float64)},
        "fewer": {"scores": scores[1:]},
        "fewer_labels": {"classes": labels[1:]},
        "wider": {"classes": labels, "scores": y},
        "three": {"classes": labels, "scores": scores, "y": y},
        "neither": {"y": y},
        "no_text": {"classes": tf.fill(tf.shape(y), b"\xff")},
    }
    regress = {
        "matrix": {"outputs": scores},
        "fewer_numbers": {"outputs": y[1:]},
        "double": {"outputs": tf.cast(y, tf.float64)},
        "two": {"outputs": y, "scores": scores},
        "unnamed": {"y": y},
    }
    return {
        **{name: _signature(CLASSIFY, given, outputs) for name, outputs in classify.items()},
        **{name: _signature(REGRESS, given, outputs) for name, outputs in regress.items()},
        "other_input": _signature(CLASSIFY, {"x": x}, {"scores": scores}),
        "two_inputs": _signature(REGRESS, {**given, "x": x}, {"outputs": y}),
    }


def _signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    def infos(tensors: dict[str, Any]) -> dict[str, Any]:
        return {k: v1.saved_model.build_tensor_info(tensor) for k, tensor in tensors.items()}

    return v1.saved_model.build_signature_def(infos(inputs), infos(outputs), method)


def tensorflow_2_model(path: Path, slope: float) -> None:
    """Writes a version with `sizes` and `line` as TensorFlow 2 saves them: for Predict."""
    module = tf.Module()
    module.slope = tf.Variable(slope)

    def line(inputs: Any) -> Any:
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return x * module.slope + 2.0

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def sizes(inputs: Any) -> dict[str, Any]:
        y = line(inputs)
        return {"classes": _labels(y), "scores": tf.concat([y, -y], 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regressed(inputs: Any) -> dict[str, Any]:
        return {"outputs": line(inputs)}

    module.sizes, module.line = sizes, regressed
    tf.saved_model.save(module, str(path), {"sizes": sizes, "line": regressed})
