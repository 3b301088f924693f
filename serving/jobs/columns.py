"""What a row says of an image, by the task of the model."""

from collections.abc import Iterable, Mapping

import numpy as np

from stn_tf.errors import InputError, ModelError
from stn_tf.export.publish.manifest import Manifest
from stn_tf.interface import ModelInterface
from stn_tf.serving.jobs.inputs import Batch
from stn_tf.serving.jobs.rows import Column
from stn_tf.serving.models import answers

_CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")


class RowColumns:
    """Turns the outputs of a model into columns, the same ones for every batch.

    Args:
        manifest: The model's.
        probabilities: Whether the probabilities of all classes are wanted.

    Attributes:
        left_out: Outputs that have no row for each image, or none that can be written, with the
            reason.
    """

    def __init__(self, manifest: Manifest, *, probabilities: bool) -> None:
        self._interface = manifest.interface
        self._transformers = answers.transformers(manifest)
        self._probabilities = probabilities
        self._names: tuple[str, ...] | None = None
        self.left_out: dict[str, str] = {}

    def of(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, Column]:
        """Returns the columns of a batch.

        Raises:
            ModelError: If no output says anything of single images.
            InputError: If a later batch has other columns than the first.
        """
        columns = {"source": Column(batch.sources), "index": Column(batch.indices)}
        columns |= self._task(batch, outputs)
        for transformer in self._transformers:
            reads_images = transformer.sampler.reads_images
            theta, corners = transformer.theta, transformer.corners
            if theta in outputs and self._fits(theta, outputs[theta], batch):
                columns[theta] = _theta(theta, outputs, corners)
            if corners in outputs and self._fits(corners, outputs[corners], batch):
                points = np.asarray(outputs[corners], np.float32)
                # Others stay in pixels of what they read: feature maps, or other crops.
                moved = batch.original_pixels(points) if reads_images else points
                columns[corners] = _corners(corners, moved)
        shares = answers.probabilities(self._interface, outputs)
        if self._probabilities and shares is not None:
            names = _class_names(self._interface, shares.shape[1])
            parts = tuple(f"probability_{name}" for name in names)
            columns["probabilities"] = Column(answers.plain(shares), parts)
        if len(columns) == 2:
            reasons = "; ".join(f"`{name}` {why}" for name, why in self.left_out.items())
            raise ModelError(
                f"The model says nothing of single images: {reasons or 'it has no output'}. "
                "Call its signatures with a TensorFlow Serving client."
            )
        if self._names is None:
            self._names = tuple(columns)
        if tuple(columns) != self._names:
            raise InputError(
                f"`{batch.sources[0]}` gives {', '.join(columns)}, but the rows before it have "
                f"{', '.join(self._names)}. Use another batch size, or one file a job."
            )
        return columns

    def _task(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, Column]:
        interface = self._interface
        picked = answers.chosen(interface, outputs)
        if picked is None:
            return self._own(batch, outputs)
        names = [tuple(answers.class_name(interface, i) for i in indices) for indices in picked]
        if interface.task == "multilabel":
            return {"classes": Column(names)}
        columns = {"class": Column([name for (name,) in names])}
        shares = answers.probabilities(interface, outputs)
        if shares is not None:
            best = np.take_along_axis(shares, np.asarray(picked), axis=1)[:, 0]
            columns["probability"] = Column(answers.plain(best))
        return columns

    def _own(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, Column]:
        columns = {}
        for name in self._interface.own_outputs:
            if name in outputs and self._fits(name, outputs[name], batch):
                column = f"output_{name}" if name in ("source", "index") else name
                columns[column] = Column(_values(outputs[name]))
        return columns

    def _fits(self, name: str, values: np.ndarray, batch: Batch) -> bool:
        """Whether an output has a row for each image, of a type that can be written."""
        spec = self._interface.output(name)
        one = spec is not None and not spec.shape
        if one or not values.ndim or len(values) != len(batch.images):
            self.left_out[name] = "has no row for each image"
        elif values.dtype.kind not in "biufOSU" and values.dtype.name != "bfloat16":
            self.left_out[name] = f"is {values.dtype}, which no file of rows holds"
        return name not in self.left_out


def _values(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "OS":
        texts = [_text(value) for value in values.ravel().tolist()]
        return np.array(texts, object).reshape(values.shape)
    return answers.plain(values)


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _theta(name: str, outputs: Mapping[str, np.ndarray], corners: str) -> Column:
    values = answers.plain(outputs[name])
    crops = outputs[corners].shape[1:-2] if corners in outputs else ()
    if not crops:
        return Column(values.reshape(len(values), -1))
    values = values.reshape(len(values), crops[0], -1)
    parts = (f"crop_{k}_{name}_{i}" for k in range(crops[0]) for i in range(values.shape[2]))
    return Column(values, tuple(parts))


def _corners(name: str, points: np.ndarray) -> Column:
    number = name.removeprefix("corners")
    names = _CORNERS if points.shape[-2:] == (4, 2) else range(points.shape[-2])
    one = [f"corner_{corner}_{axis}{number}" for corner in names for axis in _axes(points)]
    if points.ndim == 3:
        return Column(points, tuple(one))
    return Column(points, tuple(f"crop_{k}_{part}" for k in range(points.shape[1]) for part in one))


def _axes(points: np.ndarray) -> str:
    return "xyz"[: points.shape[-1]]


def _class_names(interface: ModelInterface, count: int) -> Iterable[str]:
    return (answers.class_name(interface, index) for index in range(count))
