"""`stn-tf inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.inspection.result import FileInspection, Inspection, SamplerUse, Signature


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Say what is in a model file, and what surprises in production.

    FILE is an .onnx file, a SavedModel, a version directory that `stn-tf export` wrote, or a .keras
    file. Shown are its signatures, samplers, numbers of parameters and of floating-point operations
    for one image, where it comes from, and warnings: operations that a runtime lacks, or computes
    slowly or otherwise. Nothing is run.

    \b
    Examples:
      stn-tf inspect exports/digits/1
      stn-tf inspect model.onnx --json
    """
    if file.suffix != ".onnx":  # ONNX files are read without TensorFlow.
        import_tensorflow()
    from stn_tf.export.inspection.model_file import inspect_model

    inspection = inspect_model(file)
    if as_json:
        click.echo(inspection.model_dump_json(indent=2))
    else:
        _print(inspection)


def _print(inspection: "Inspection") -> None:
    for file in inspection.files:
        _print_file(file)
    if inspection.provenance:
        click.echo("manifest")
        _print_facts(inspection.provenance)
    for name, notice in inspection.all_warnings:
        click.echo(f"warning: {name}{': ' if name else ''}{notice.text}")


def _print_file(file: "FileInspection") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    click.echo(file.file)
    facts = {"parameters": f"{file.parameters:,}"}
    if file.ir_version is not None:
        opsets = (f"{name or 'ai.onnx'} {version}" for name, version in file.opsets.items())
        facts |= {"opset": ", ".join(opsets), "IR version": str(file.ir_version)}
    _print_facts({**facts, **file.provenance})
    console = Console()
    for signature in file.signatures:
        click.echo(_title(signature))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in ("", "name", "type", "shape"):
            table.add_column(heading, overflow="fold")
        for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for tensor in tensors:
                sizes = "?" if tensor.shape is None else [dim or "?" for dim in tensor.shape]
                # Not as markup, which brackets would be.
                cells = (f" {kind}", tensor.name, tensor.dtype, str(sizes).replace("'", ""))
                table.add_row(*map(Text, cells))
        console.print(table)
        for sampler in signature.samplers:
            click.echo(f" sampler  {_sampler(sampler)}")
        click.echo()


def _print_facts(facts: dict[str, str]) -> None:
    for name, value in facts.items():
        text = value if len(value) <= 100 else f"{value[:97]}..."
        click.echo(f"  {name:<24}{text}")


def _title(signature: "Signature") -> str:
    flops = signature.flops_per_image
    count = "unknown" if flops is None else f"{flops:,}"
    return f"{signature.name}: {count} floating-point operations per image"


def _sampler(sampler: "SamplerUse") -> str:
    semantics = (sampler.transform, sampler.kernel, sampler.padding)
    words = [sampler.operation, *(word for word in semantics if word)]
    if sampler.align_corners:
        words.append("align_corners")
    if sampler.samples:
        words.append(f"to {'x'.join(map(str, sampler.samples))}")
    return " ".join(words)
