"""Compiles the native sampler with the machine's C++ compiler, and nothing else.

    python stn_tf/native/build.py [FOLDER]

writes the two libraries, and `build.json`, which says how they were made or why they were not, to
FOLDER (default: beside this file, as a checkout needs it). It needs neither TensorFlow nor ONNX
Runtime; setup.py calls it during `pip install`.
"""

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
_COMMON = ("arguments", "halves", "sampler")
# Library -> what it is linked from, beside the kernels and the common part.
LIBRARIES = {
    "libstn_tf_tensorflow.so": ("tensorflow_ops", "tensorflow_kernel", "thread_pool"),
    "libstn_tf_onnxruntime.so": ("onnxruntime_ops",),
}
_FLAGS: tuple[str, ...] = (
    "-std=c++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-pthread",
)
# NaN keeps its meaning: no -ffast-math. Assumed are only that nobody looks at errno and at traps.
_KERNEL_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
_INSTRUCTION_SETS: dict[str, tuple[str, ...]] = {"baseline": ()}
if platform.machine().lower() in ("x86_64", "amd64"):
    _INSTRUCTION_SETS |= {
        "avx2": ("-mavx2", "-mfma"),
        "avx512": (*_AVX512, "-mprefer-vector-width=512"),
    }
    _FLAGS = (*_FLAGS, "-DSTN_TF_X86")


class BuildError(Exception):
    """The libraries cannot be made on this machine; the message says why."""


def build(folder: Path, *, extra_flags: Sequence[str] = ()) -> None:
    """Compiles and links both libraries into `folder`.

    Raises:
        BuildError: If there is no compiler, or it fails.
    """
    if sys.platform != "linux":
        raise BuildError(f"the native sampler is built on Linux only, and this is {sys.platform}")
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as name:
        objects = Path(name)
        commands = []
        for isa, flags in _INSTRUCTION_SETS.items():
            commands.append(_compile(compiler, objects, f"kernels_{isa}", (*_KERNEL_FLAGS, *flags)))
        for source in {*_COMMON, *(part for parts in LIBRARIES.values() for part in parts)}:
            commands.append(_compile(compiler, objects, source, ("-O2",)))
        commands = [[*command, *extra_flags] for command in commands]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(_run, commands))
        # TensorFlow's library is not here: an empty one of its name stands in, and at run time the
        # loader takes the one that the process has already loaded.
        stub = objects / "libtensorflow_framework.so.2"
        (objects / "empty.cpp").touch()
        soname = f"-Wl,-soname,{stub.name}"
        _run([*compiler, "-shared", soname, str(objects / "empty.cpp"), "-o", str(stub)])
        kernels = [f"kernels_{isa}" for isa in _INSTRUCTION_SETS]
        folder.mkdir(parents=True, exist_ok=True)
        for library, parts in LIBRARIES.items():
            names = (*kernels, *_COMMON, *parts)
            linked = objects / library
            against = ["-Wl,--no-as-needed", str(stub)] if "tensorflow_ops" in parts else []
            _run(
                [
                    *(*compiler, "-shared", "-pthread", *extra_flags),
                    *(str(objects / f"{name}.o") for name in names),
                    *against,
                    *("-static-libstdc++", "-static-libgcc", "-Wl,--gc-sections", "-s"),
                    *("-o", str(linked)),
                ]
            )
            # Replaced, never overwritten: a process may have the old file mapped.
            partial = folder / f".{library}"
            shutil.copy(linked, partial)
            os.replace(partial, folder / library)


def build_or_explain(folder: Path) -> bool:
    """Builds, and records in `build.json` how it went; False if it could not."""
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, object]
    try:
        record = {
            "built": True,
            "compiler": _version(),
            "instruction_sets": sorted(_INSTRUCTION_SETS),
            "sources_sha256": _digest(),
        }
        if not _copy_existing(record, folder):
            build(folder)
    except BuildError as error:
        record = {"built": False, "reason": str(error)}
        print(f"warning: stn-tf runs without its native sampler: {error}", file=sys.stderr)
    (folder / "build.json").write_text(json.dumps(record, indent=2) + "\n")
    return bool(record["built"])


def _digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def _copy_existing(record: dict[str, object], folder: Path) -> bool:
    """Copies what was built beside this file from the same sources by the same compiler."""
    here = Path(__file__).parent
    existing = here / "build.json"
    if not existing.is_file() or json.loads(existing.read_text()) != record:
        return False
    if not all((here / library).is_file() for library in LIBRARIES):
        return False
    if folder.resolve() != here.resolve():
        for library in LIBRARIES:
            shutil.copy(here / library, folder / library)
    return True


def find_compiler() -> list[str]:
    """Returns the command of a C++ compiler: $CXX, or the first of c++, g++, clang++."""
    chosen = os.environ.get("CXX")
    for command in [shlex.split(chosen)] if chosen else [["c++"], ["g++"], ["clang++"]]:
        if command and shutil.which(command[0]):
            return command
    raise BuildError(
        f"the C++ compiler {chosen!r} of $CXX was not found"
        if chosen
        else "no C++ compiler was found (c++, g++, clang++ or $CXX); install one, such as g++, "
        "and install stn-tf again"
    )


def _compile(compiler: list[str], objects: Path, source: str, flags: tuple[str, ...]) -> list[str]:
    target = str(objects / f"{source}.o")
    return [*compiler, *_FLAGS, *flags, "-c", str(SOURCES / f"{source}.cpp"), "-o", target]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[:5])
        raise BuildError(f"`{command[0]}` failed: {last}")


def _version() -> str:
    command = [*find_compiler(), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else command[0]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    sys.exit(0 if build_or_explain(target) else 1)
