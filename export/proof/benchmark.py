"""Times the files of a version in the runtimes that are here, and says what each costs."""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from stn_tf.data.image_file import SUFFIXES, read_for
from stn_tf.errors import DataError, ExportError
from stn_tf.export.onnx_passes.precision import to_float16, to_int8
from stn_tf.export.proof import runtimes as proof_runtimes
from stn_tf.export.proof.comparison import Run
from stn_tf.export.proof.expectations import (
    EXPECTATIONS_FILE,
    Expectation,
    read_expectations,
)
from stn_tf.export.proof.runtimes import RUNTIMES, Prepared
from stn_tf.export.publish.manifest import DEFAULT, ONNX_FILE, Manifest, read_manifest
from stn_tf.interface import ModelInterface

BATCHES = (1, 32)
# Each file is timed so often in turn with the others, so that what else the machine does meets all.
_ROUNDS = 5
# So many images are classified at once.
_STEP = 32


@dataclasses.dataclass(frozen=True)
class Timing:
    """A file in a runtime.

    Attributes:
        name: The runtime, and how it runs the file: `onnx_runtime/ours` with our library.
        file: Which file.
        megabytes: Its size; of a SavedModel with its variables.
        milliseconds: Batch -> median time of a request.
        slowest: Batch -> that of the slowest round.
        largest_difference: To the live model's scores on real images, in its own outputs.
        error_percent: On the test images; None without any.
        where: On what its nodes run.
        refused: Why there is nothing else, if there is not.
    """

    name: str
    file: str
    megabytes: float
    milliseconds: Mapping[int, float] = dataclasses.field(default_factory=dict)
    slowest: Mapping[int, float] = dataclasses.field(default_factory=dict)
    largest_difference: float | None = None
    error_percent: float | None = None
    where: str = ""
    refused: str = ""


def benchmark(
    version_dir: Path | str,
    *,
    runtimes: Sequence[str] = (),
    batches: Sequence[int] = BATCHES,
    precisions: Sequence[str] = (),
    threads: int = 0,
    seconds: float = 0.3,
    examples: tuple[np.ndarray, np.ndarray] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Timing]:
    """Times the files of a version, one after the other and in several rounds.

    Args:
        version_dir: The version directory.
        runtimes: Of `stn_tf.export.proof.runtimes.RUNTIMES`; empty for all that are installed and
            have a file.
        batches: Images a request.
        precisions: `float16` or `int8`: of these the float32 ONNX file is timed too. What they
            cost is in the differences; int8 is calibrated with the few real images on record.
        threads: That a request may use; 0 for what each runtime chooses.
        seconds: For a file, a batch and a round.
        examples: Test images as the model takes them, and their classes `[N]`.
        say: Is told what is done, a line each.

    Raises:
        ModelError: If the folder holds no version.
        ExportError: If a runtime that was asked for is not there, or the model takes one batch
            size and that is not among `batches`.
    """
    folder = Path(version_dir)
    manifest = read_manifest(folder)
    real = [
        expectation
        for expectation in read_expectations(folder / EXPECTATIONS_FILE)
        if expectation.case.real and expectation.signature == DEFAULT
    ]
    chosen = list(runtimes) or proof_runtimes.installed(folder)
    for name in runtimes:
        proof_runtimes.check_runtime(name, folder)
    if precisions and (manifest.onnx is None or manifest.onnx.precision != "float32"):
        raise ExportError(
            "`precisions` are made from a model.onnx in float32, which the version does not have. "
            "Export it so, or leave them out."
        )
    feeds = {
        batch: _batch(manifest.interface, real, batch) for batch in _fitting(manifest, batches)
    }
    found: dict[str, Timing] = {}
    ready: dict[str, Prepared] = {}

    def take(name: str, place: Path, ending: str = "") -> None:
        file = RUNTIMES[name].file
        size = _megabytes(place, file)
        say(f"{name} loads {file}{ending}")
        try:
            prepared = proof_runtimes.prepare(name, place, manifest, threads)
        except ExportError as error:
            found[f"{name}{ending}"] = Timing(f"{name}{ending}", file, size, refused=str(error))
            return
        for key, one in prepared.items():
            ready[f"{key}{ending}"] = one
            found[f"{key}{ending}"] = Timing(
                f"{key}{ending}",
                file,
                size,
                largest_difference=_difference(one.run, real, manifest),
                error_percent=None if examples is None else _error(one.run, manifest, *examples),
                where=one.where,
            )

    for name in chosen:
        take(name, folder)
    for precision in precisions:
        with tempfile.TemporaryDirectory() as aside:
            _write_precision(folder, Path(aside), precision, real)
            for name in chosen:
                if RUNTIMES[name].file == ONNX_FILE:
                    take(name, Path(aside), f" {precision}")
    for batch, given in feeds.items():
        say(f"batch {batch}")
        for key, rounds in _timed(ready, given, seconds).items():
            milliseconds = {**found[key].milliseconds, batch: statistics.median(rounds)}
            slowest = {**found[key].slowest, batch: max(rounds)}
            found[key] = dataclasses.replace(found[key], milliseconds=milliseconds, slowest=slowest)
    return list(found.values())


def labelled_images(
    interface: ModelInterface, folder: Path, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads images from a folder with one sub-folder a class, as many of each as there are.

    Returns:
        `[N, ...]` as the model takes them, and their classes `[N]`.

    Raises:
        DataError: If no sub-folder has the name of a class, or a file cannot be read.
    """
    spec = interface.image
    of_class = []
    for index, name in enumerate(interface.class_names):
        paths = sorted((folder / name).rglob("*")) if (folder / name).is_dir() else []
        of_class.append([(path, index) for path in paths if path.suffix.lower() in SUFFIXES])
    # One of each class after the other, so that few images show all classes.
    mixed = [
        files[turn]
        for turn in range(max(map(len, of_class), default=0))
        for files in of_class
        if turn < len(files)
    ][:most]
    if not mixed:
        raise DataError(
            f"`images` must have a sub-folder of images for each class, such as "
            f"{', '.join(interface.class_names[:3]) or '(the model has none)'}, but `{folder}` has "
            "none of these names."
        )
    images = np.stack([read_for(path, spec)[0] for path, _ in mixed])
    return images, np.array([label for _, label in mixed])


def _write_precision(
    folder: Path, aside: Path, precision: str, real: Sequence[Expectation]
) -> None:
    """Writes the ONNX file of a version in less precision into a folder."""
    model = onnx.load(folder / ONNX_FILE)
    if precision == "float16":
        model = to_float16(model)
    else:
        names = real[0].case.feeds
        batched = [name for name in names if names[name].ndim]
        feeds = {n: np.concatenate([e.case.feeds[n] for e in real]) for n in batched}
        model = to_int8(model, {**names, **feeds})
    onnx.save(model, aside / ONNX_FILE)


def _fitting(manifest: Manifest, batches: Sequence[int]) -> list[int]:
    fixed = {spec.shape[0] for spec in manifest.interface.inputs if spec.shape} - {None}
    fitting = [batch for batch in batches if not fixed or fixed == {batch}]
    if not fitting:
        only = ", ".join(map(str, sorted(size for size in fixed if size is not None)))
        raise ExportError(
            f"`batches` must have {only}, which the model takes alone, but they are "
            f"{', '.join(map(str, batches))}."
        )
    return fitting


def _batch(
    interface: ModelInterface, real: Sequence[Expectation], batch: int
) -> dict[str, np.ndarray]:
    """Real images, repeated where they are too few."""
    found = {}
    for spec in interface.inputs:
        parts = [expectation.case.feeds[spec.name] for expectation in real]
        if not spec.shape:
            found[spec.name] = parts[0]
            continue
        values = np.concatenate(parts)
        found[spec.name] = np.ascontiguousarray(np.resize(values, (batch, *values.shape[1:])))
    return found


def _timed(
    ready: Mapping[str, Prepared], feeds: Mapping[str, np.ndarray], seconds: float
) -> dict[str, list[float]]:
    """Milliseconds a request, one number a round."""
    times: dict[str, list[float]] = {key: [] for key in ready}
    for one in ready.values():  # What is made at the first request is not timed.
        one.run(feeds)
        one.run(feeds)
    for _ in range(_ROUNDS):
        for key, one in ready.items():
            start = time.perf_counter()
            count = 0
            while count == 0 or time.perf_counter() - start < seconds:
                one.run(feeds)
                count += 1
            times[key].append(1e3 * (time.perf_counter() - start) / count)
    return times


def _difference(run: Run, real: Sequence[Expectation], manifest: Manifest) -> float:
    largest = 0.0
    for expectation in real:
        said = run(expectation.case.feeds)
        for name in manifest.interface.own_outputs:
            expected = expectation.answers.get(name)
            if name in said and expected is not None and expected.dtype.kind == "f":
                difference = np.abs(said[name].astype(np.float64) - expected)
                largest = max(largest, float(np.max(difference, initial=0.0)))
    return largest


def _error(run: Run, manifest: Manifest, images: np.ndarray, labels: np.ndarray) -> float | None:
    (name,) = manifest.interface.named("class")[:1] or ("",)
    if not name:
        return None
    spec = manifest.interface.inputs[0]
    step = spec.shape[0] or _STEP
    wrong = 0
    for start in range(0, len(images), step):
        part = images[start : start + step]
        padded = np.resize(part, (step, *part.shape[1:])) if spec.shape[0] else part
        classes = run({spec.name: padded})[name][: len(part)]
        wrong += int(np.sum(classes.reshape(-1) != labels[start : start + step]))
    return 100.0 * wrong / len(images)


def _megabytes(folder: Path, file: str) -> float:
    parts = [folder / file]
    if file == RUNTIMES["tensorflow"].file:
        parts += [path for path in (folder / "variables").rglob("*") if path.is_file()]
    else:  # Weights that are stored outside the file.
        parts += sorted(folder.glob(f"{file}.data*"))
    return sum(part.stat().st_size for part in parts) / 1e6
