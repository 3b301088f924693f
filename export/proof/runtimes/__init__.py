"""What loads the files of a version where they are, as they come: each runtime in its own module.

A module is imported when its runtime is asked for; none but `tensorflow` imports TensorFlow.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stn_tf.errors import ExportError
from stn_tf.export.proof.comparison import Answers, Run
from stn_tf.export.publish.manifest import LITERT_FILE, ONNX_FILE, SAVED_MODEL_FILE, Manifest


class Prepared(NamedTuple):
    """A file that is loaded, to be timed.

    Attributes:
        run: Of the default signature's own and derived outputs, as much as the runtime can choose.
        where: On what its nodes run, in words.
    """

    run: Run
    where: str


class Runtime(NamedTuple):
    """What runs a file.

    Attributes:
        module: Of this package; its `load` takes a version's folder and manifest and returns
            `Answers` by name, its `prepare` also threads, and returns `Prepared` by name.
        package: What must be installed.
        extra: Of stn-tf, which installs it; empty where stn-tf needs it anyway.
        file: What it runs, in the folder of a version.
    """

    module: str
    package: str
    extra: str
    file: str


RUNTIMES: Mapping[str, Runtime] = {
    "tensorflow": Runtime("tensorflow_runtime", "tensorflow", "", SAVED_MODEL_FILE),
    "onnxruntime": Runtime("onnx_runtime", "onnxruntime", "", ONNX_FILE),
    "openvino": Runtime("openvino_runtime", "openvino", "openvino", ONNX_FILE),
    "litert": Runtime("litert_runtime", "ai_edge_litert", "litert", LITERT_FILE),
}
# What is asked where nobody says otherwise: those that the formats were written for.
_USUAL = ("tensorflow", "onnxruntime", "litert")


def usual(folder: Path) -> list[str]:
    """Returns the runtimes that a version is compared in unless others are asked for."""
    return [
        name for name in _USUAL if (folder / RUNTIMES[name].file).is_file() and _installed(name)
    ]


def left_out(folder: Path) -> list[str]:
    """Returns, a line each, which files nothing here can run."""
    return [
        f"{runtime.file} is not compared: {_missing(name)}"
        for name, runtime in ((name, RUNTIMES[name]) for name in _USUAL)
        if (folder / runtime.file).is_file() and not _installed(name)
    ]


def load(name: str, folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns what answers for a version in a runtime, by name: `openvino`, `openvino/float32`.

    Raises:
        ExportError: If there is no such runtime, it is not installed, the version has no file for
            it, or it refuses the file.
    """
    check_runtime(name, folder)
    module = importlib.import_module(f"{__name__}.{RUNTIMES[name].module}")
    found: dict[str, Answers] = module.load(folder, manifest)
    return found


def prepare(name: str, folder: Path, manifest: Manifest, threads: int) -> dict[str, Prepared]:
    """Returns what is to be timed of a version in a runtime, by name, as for `load`.

    Args:
        name: A key of `RUNTIMES`.
        folder: Of the version.
        manifest: Of the version.
        threads: That one request may use; 0 for what the runtime chooses.

    Raises:
        ExportError: As for `load`.
    """
    check_runtime(name, folder)
    module = importlib.import_module(f"{__name__}.{RUNTIMES[name].module}")
    found: dict[str, Prepared] = module.prepare(folder, manifest, threads)
    return found


def installed(folder: Path) -> list[str]:
    """Returns the runtimes that are installed and have a file in a version."""
    return [
        name
        for name, runtime in RUNTIMES.items()
        if (folder / runtime.file).is_file() and _installed(name)
    ]


def check_runtime(name: str, folder: Path) -> None:
    """Raises ExportError unless a runtime is there, and has a file to run."""
    if name not in RUNTIMES:
        raise ExportError(f"`runtime` must be one of {', '.join(RUNTIMES)}, but it is {name!r}.")
    if not _installed(name):
        raise ExportError(f"`runtime` must be installed, but {name} is not. {_missing(name)}")
    file = RUNTIMES[name].file
    if not (folder / file).is_file():
        raise ExportError(
            f"`runtime` {name} runs {file}, but `{folder}` has none. Export with --format, or "
            "choose another runtime."
        )


def _installed(name: str) -> bool:
    return importlib.util.find_spec(RUNTIMES[name].package) is not None


def _missing(name: str) -> str:
    extra = RUNTIMES[name].extra
    return f"Install it with `pip install stn-tf{f'[{extra}]' if extra else ''}`."
