"""Fixtures that several folders of tests share."""

import gc
import os

# Before TensorFlow is imported: no GPU set-up lines, and the same CPU results everywhere.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
# Real data for tests. It is not part of the package; tests that need it skip where it is absent.
DATA = Path(os.environ.get("STN_TF_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not walk it thousands of times.

    A fifth of the time of tests that trace graphs went into that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 20)


def _data_folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs real data in {folder} (set STN_TF_TEST_DATA to its parent)")
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    return _data_folder("mnist")


@pytest.fixture(scope="session")
def cub_dir() -> Path:
    return _data_folder("cub10") / "CUB_200_2011"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20150605)
