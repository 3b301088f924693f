"""A SavedModel as a network to be exported."""

from pathlib import Path

import tensorflow as tf

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.network import Network, Tensors
from stn_tf.export.sampler_nodes import semantics_in


def load_saved_network(folder: Path, signature: str = "serving_default") -> Network:
    """Loads a SavedModel; its samplers are found in the graph.

    Args:
        folder: A SavedModel, written by anybody, in which a signature has tensors with a free
            batch and otherwise known shapes.
        signature: The signature that becomes `serving_default` and the ONNX file.

    Raises:
        ModelError: If the folder holds no SavedModel that loads.
        ExportError: If there is no such signature, or the shape of an input is unknown.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        hint = (
            "`stn-tf migrate` brings models of TensorFlow Addons back"
            if "Resampler" in reason
            else "Save the model again with tf.saved_model.save"
        )
        raise ModelError(f"`{folder}` is no SavedModel that loads: {reason}. {hint}.") from error
    signatures = dict(loaded.signatures)
    if signature not in signatures:
        raise ExportError(
            f"`signature` must be one of {', '.join(sorted(signatures)) or 'none (it has none)'}, "
            f"but it is {signature!r}. Choose one with --signature."
        )
    function = signatures.pop(signature)
    inputs = {}
    for name, spec in sorted(function.structured_input_signature[1].items()):
        shape = list(spec.shape) if spec.shape.rank is not None else None
        if not shape or None in shape[1:]:
            raise ExportError(
                f"The input `{name}` of the signature {signature} must have a known shape but for "
                f"the batch, but it is {spec.shape}. Save the model for inputs of one size."
            )
        inputs[name] = tf.TensorSpec([None, *shape[1:]], spec.dtype, name)
    # A loaded signature's names come in any order, its graph's outputs sorted by name.
    outputs = tuple(sorted(function.structured_outputs))

    def answer(values: Tensors) -> dict[str, tf.Tensor]:
        # `loaded` owns the variables of the signatures.
        assert loaded.signatures
        return dict(function(**values))

    return Network(
        name=Path(folder).resolve().name,
        inputs=inputs,
        answer=answer,
        outputs=outputs,
        default_outputs=outputs,
        classifies=False,
        samplers=(),
        semantics=semantics_in(function),
        owner=loaded,
        others=signatures,
    )
