"""The line about devices, and why a GPU that is there is not used."""

import os
import stat

import pytest
import tensorflow as tf

from stn_tf.training import devices

ONE = tf.distribute.get_strategy()


def test_the_processor_is_named():
    (line, *_) = devices.device_lines(ONE)
    if tf.config.list_physical_devices("GPU"):
        assert line.startswith("Device: GPU, ")
    else:
        cores = len(os.sched_getaffinity(0))
        assert line == f"Device: CPU, {devices.cpu_name()}, {cores} cores."
        assert devices.cpu_name()


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A machine with a graphics card of which `nvidia-smi` tells, and nothing else does."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA Imaginary 3000\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_a_card_that_is_not_used_is_a_warning_with_the_reason(card, monkeypatch):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine uses its GPU")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    _, warning = devices.device_lines(ONE)
    assert warning.startswith("Warning: TensorFlow does not use the GPU (NVIDIA ")
    assert any(cure in warning for cure in ("pip install 'stn-tf[cuda]'", "river"))


def test_a_card_that_is_hidden(card, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.unused_reason() == (
        "the environment variable CUDA_VISIBLE_DEVICES is '-1'. Unset it to use it."
    )


@pytest.mark.parametrize(
    ("build", "loadable", "expected"),
    [
        ({"is_cuda_build": False}, (), "was built without CUDA. Install TensorFlow's CUDA librar"),
        ({"is_cuda_build": True}, (), "its driver (libcuda.so.1) cannot be loaded. Install NVIDI"),
        (
            {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"},
            ("libcuda.so.1", "libcudart.so.12"),
            "libcublas.so.12, libcudnn.so.9 cannot be loaded. Install TensorFlow's CUDA libraries",
        ),
        (
            {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"},
            ("libcuda.so.1", "libcudart.so.12", "libcublas.so.12", "libcudnn.so.9"),
            "its driver may be too old for CUDA 12.5.1. Renew the driver.",
        ),
    ],
)
def test_reasons(monkeypatch, build, loadable, expected):
    """What machines with GPUs may be like, none of which is at hand."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: build)
    monkeypatch.setattr(devices, "_loads", lambda name: name in loadable)
    assert expected in devices.unused_reason()


def test_libraries_of_packages_count(tmp_path, monkeypatch):
    assert devices._loads("libc.so.6")
    assert not devices._loads("libnothing.so.1")
    folder = tmp_path / "nvidia" / "nothing" / "lib"
    folder.mkdir(parents=True)
    (folder / "libnothing.so.1").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert devices._loads("libnothing.so.1")
