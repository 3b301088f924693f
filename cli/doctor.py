"""`stn-tf doctor`."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.quiet import import_tensorflow

_PACKAGES = (
    ("stn-tf",),
    ("tensorflow",),
    ("keras",),
    ("onnxruntime-gpu", "onnxruntime"),
    ("tf2onnx",),
    ("numpy",),
)


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Say which sampler is in use, and why.

    Also the versions and devices that were found, for reports of problems.

    \b
    Examples:
      stn-tf doctor
      stn-tf doctor --json
    """
    import_tensorflow()
    report = {"versions": _versions(), "machine": _machine(), "sampler": _sampler()}
    report["onnx_runtime"] = _onnx_runtime()
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    for title, facts in report.items():
        click.echo(title.replace("_", " "))
        for name, value in facts.items():
            click.echo(f"  {name if name.isupper() else name.replace('_', ' '):<24}{value}")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for names in _PACKAGES:
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
            break
        else:
            found[names[0]] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "gpus": ", ".join(gpu.name for gpu in gpus) or "none",
    }


def _sampler() -> dict[str, str]:
    import tensorflow as tf

    from stn_tf import native
    from stn_tf.sampling import choice

    def sampler_in(context: Any) -> str:
        with context:
            reason = choice.refusal(tf.float32, tf.float32)
        return "native" if reason is None else f"portable: {reason}"

    facts = {"library": native.load_error() or f"loaded, {native.instruction_set()}"}
    facts[choice.VARIABLE] = os.environ.get(choice.VARIABLE, "not set")
    facts["eager_calls"] = sampler_in(tf.init_scope())
    facts["training_and_evaluation"] = sampler_in(choice.preferred_sampler())
    with tf.Graph().as_default():
        facts["other_graphs"] = sampler_in(tf.name_scope("doctor"))
    facts["exported_files"] = "portable: what is exported holds stock operations"
    return facts


def _onnx_runtime() -> dict[str, str]:
    import onnxruntime

    from stn_tf import libraries

    path = libraries.onnxruntime_library()
    if path is None:
        library = f"missing: {libraries.missing_reason()}"
    else:
        try:
            onnxruntime.SessionOptions().register_custom_ops_library(str(path))
            library = "registers"
        except Exception as error:  # ONNX Runtime's errors share no base class of their own.
            library = f"does not register: {error}"
    return {
        "library": library,
        "providers": ", ".join(onnxruntime.get_available_providers()),
    }
