"""Which devices compute, and why a graphics card that is there does not."""

import ctypes
import importlib.util
import os
import subprocess
from pathlib import Path

import tensorflow as tf

_NVIDIA = "0x10de"
_DISPLAY = "0x03"  # PCI's class of graphics cards and accelerators of the kind.
_CURE = "Install TensorFlow's CUDA libraries with `pip install 'stn-tf[cuda]'`."


def device_lines(strategy: tf.distribute.Strategy, workers: int = 1) -> list[str]:
    """Returns a line on the devices in use, and a warning if a GPU is there but not used.

    Args:
        strategy: Where training runs.
        workers: How many machines or processes train together.
    """
    replicas = strategy.num_replicas_in_sync
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        used = gpus if replicas > workers else gpus[:1]
        names = [_gpu_name(gpu) for gpu in used]
        what = ", ".join(
            f"{names.count(n)} x {n}" if names.count(n) > 1 else n for n in _once(names)
        )
        line = f"Device: GPU, {what}"
        if len(gpus) > len(used):
            line += f" (of {len(gpus)}: `strategy`)"
    else:
        line = f"Device: CPU, {cpu_name()}, {len(os.sched_getaffinity(0))} cores"
    if replicas > 1:
        line += f"; {replicas} replicas"
    if workers > 1:
        line += f" on {workers} workers"
    lines = [line + "."]
    if not gpus and (cards := graphics_cards()):
        lines.append(f"Warning: TensorFlow does not use the GPU ({cards[0]}): {unused_reason()}")
    return lines


def graphics_cards() -> list[str]:
    """Returns the names of NVIDIA's cards in this machine, whether or not they can be used."""
    found = []
    for device in sorted(Path("/sys/bus/pci/devices").glob("*")):
        if _text(device / "vendor") == _NVIDIA and _text(device / "class").startswith(_DISPLAY):
            found.append("NVIDIA")
    # In a container the names are the driver's, and may be there without the bus.
    named = [
        line.partition(":")[2].strip()
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in _text(path).splitlines()
        if line.startswith("Model:")
    ]
    return named or _listed_by_driver() or found


def unused_reason() -> str:
    """Says why TensorFlow uses no GPU, and what to do."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"the environment variable CUDA_VISIBLE_DEVICES is {visible!r}. Unset it to use it."
    build = tf.sysconfig.get_build_info()
    if not build.get("is_cuda_build"):
        return f"this TensorFlow {tf.__version__} was built without CUDA. {_CURE}"
    if not _loads("libcuda.so.1"):
        return (
            "its driver (libcuda.so.1) cannot be loaded. Install NVIDIA's driver; in a container, "
            "start it with the GPU, as in `docker run --gpus all`."
        )
    missing = [name for name in _libraries(build) if not _loads(name)]
    if missing:
        return f"{', '.join(missing)} cannot be loaded. {_CURE}"
    return f"its driver may be too old for CUDA {build.get('cuda_version', '')}. Renew the driver."


def cpu_name() -> str:
    """Returns the name of the processor."""
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return "unknown"


def _libraries(build: dict[str, str]) -> list[str]:
    cuda = str(build.get("cuda_version", "")).partition(".")[0]
    cudnn = str(build.get("cudnn_version", "")).partition(".")[0]
    # What TensorFlow opens when it looks for GPUs; their own versions differ from CUDA's.
    names = [f"libcudart.so.{cuda}", f"libcublas.so.{cuda}", f"libcudnn.so.{cudnn}"]
    return names if cuda and cudnn else []


def _loads(name: str) -> bool:
    """Whether a library is found by the loader, or in the packages that TensorFlow looks into."""
    try:
        ctypes.CDLL(name)
    except OSError:
        spec = importlib.util.find_spec("nvidia")
        places = list(spec.submodule_search_locations or ()) if spec else []
        return any(any(Path(place).glob(f"*/lib/{name}")) for place in places)
    return True


def _listed_by_driver() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _gpu_name(gpu: tf.config.PhysicalDevice) -> str:
    details = tf.config.experimental.get_device_details(gpu)
    return str(details.get("device_name", gpu.name))


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
