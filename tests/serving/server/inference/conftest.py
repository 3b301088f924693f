"""A server of models whose signatures take serialized examples."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.server.conftest import Server
from tests.serving.server.inference.models import (
    CLASSIFY,
    PREDICT,
    tensorflow_1_model,
    tensorflow_2_model,
)
from tests.serving.server.running import running


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory, base_path: Path) -> Path:
    """`one`, of TensorFlow 1, in two versions; `two`, of TensorFlow 2; two with ONNX files."""
    out = tmp_path_factory.mktemp("examples")
    tensorflow_1_model(out / "one" / "1", slope=9.0)
    tensorflow_1_model(out / "one" / "2", slope=0.5)
    tensorflow_2_model(out / "two" / "1", slope=0.5)
    for name, default in (("beside", PREDICT), ("beside_default", CLASSIFY)):
        tensorflow_1_model(out / name / "1", slope=0.5, default=default)
        shutil.copy(base_path / "1" / "model.onnx", out / name / "1")
    policy = "model_version_policy { all {} }"
    models = " ".join(
        f'config {{ name: "{folder.name}" base_path: "{folder}" {policy} }}'
        for folder in out.iterdir()
    )
    (out / "models.config").write_text(f"model_config_list {{ {models} }}")
    return out / "models.config"


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(False, id="alone"),
        pytest.param(True, marks=pytest.mark.slow, id="batched"),
    ],
)
def server(request: pytest.FixtureRequest, config: Path) -> Iterator[Server]:
    batching = ["--enable_batching"] * request.param
    with running("--model_config_file", config, *batching) as found:
        yield found
