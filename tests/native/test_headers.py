"""Our declarations of TensorFlow's C API, against the headers in its wheel."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

HEADERS = ("kernels.h", "ops.h", "tf_status.h", "tf_tensor.h")


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("c++") or shutil.which("g++")
    if found is None:
        pytest.skip("needs a C++ compiler")
    return found


def compile_with(declarations: str, compiler: str, folder: Path) -> subprocess.CompletedProcess:
    """Compiles TensorFlow's headers and ours in one unit: C functions cannot be overloaded."""
    values = re.findall(r"^  (TF_\w+) = (\d+),$", declarations, re.MULTILINE)
    assert len(values) == 7
    (folder / "ours.h").write_text(declarations)
    lines = [f'#include "tensorflow/c/{header}"' for header in HEADERS]
    lines += ["#define STN_TF_WITH_TENSORFLOW_TYPES", '#include "ours.h"']
    lines += [f'static_assert({name} == {value}, "{name}");' for name, value in values]
    unit = folder / "unit.cpp"
    unit.write_text("\n".join(lines) + "\n")
    command = [compiler, "-std=c++17", "-fsyntax-only", "-I", tf.sysconfig.get_include(), unit]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ours(root: Path) -> str:
    return (root / "stn_tf" / "native" / "src" / "tensorflow_c.h").read_text()


def test_declarations_are_those_of_tensorflow(ours: str, compiler: str, tmp_path: Path) -> None:
    done = compile_with(ours, compiler, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (
            "TF_Dim(const TF_Tensor* tensor, int dim_index)",
            "TF_Dim(const TF_Tensor* tensor, long i)",
        ),
        ("int64_t TF_Dim(", "int TF_Dim("),
        ("TF_HALF = 19", "TF_HALF = 10"),
    ],
)
def test_a_wrong_declaration_is_found(
    right: str, wrong: str, ours: str, compiler: str, tmp_path: Path
) -> None:
    assert right in ours
    assert compile_with(ours.replace(right, wrong), compiler, tmp_path).returncode != 0
