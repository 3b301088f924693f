"""`stn-tf client` and a real server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stn_tf.cli.main import main
from tests.serving import conftest
from tests.serving.server.conftest import Server
from tests.serving.server.running import running

expected = conftest.expected


@pytest.fixture(scope="module")
def server(model_dir: Path) -> Iterator[Server]:
    with running(model_dir) as found:
        yield found


@pytest.fixture(params=["grpc", "rest"])
def target(request: pytest.FixtureRequest, server: Server) -> str:
    if request.param == "grpc":
        return f"grpc://127.0.0.1:{server.port}"
    return f"http://127.0.0.1:{server.rest_port}"


@pytest.fixture
def rest(server: Server) -> str:
    return f"http://127.0.0.1:{server.rest_port}"


def _client(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["client", *map(str, arguments)])


def _json(*arguments: str | Path) -> object:
    result = _client(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.fixture
def scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def test_images(target, folder, expected):
    images = [folder / f"{index}.png" for index in range(3)]
    answer = _json("predict", *images, "--server", target, "--model", "small")
    assert (answer["model"], answer["signature"]) == ("small", "serving_bytes")
    np.testing.assert_allclose(answer["outputs"]["logits"], expected["logits"][:3], atol=1e-4)


def test_arrays(target, scaled, expected, tmp_path):
    np.save(tmp_path / "x.npy", scaled)
    np.savez(tmp_path / "x.npz", images=scaled)
    for name in ("x.npy", "x.npz"):
        arguments = (tmp_path / name, "--server", target, "--model", "small")
        answer = _json("predict", *arguments, "--outputs", "logits,class")
        assert list(answer["outputs"]) == ["logits", "class"]
        np.testing.assert_allclose(answer["outputs"]["logits"], expected["logits"], atol=1e-4)


@pytest.mark.parametrize("rows", [True, False])
def test_json_and_files_of_outputs(target, scaled, expected, tmp_path, rows):
    content = {"instances": scaled.tolist()} if rows else {"inputs": {"images": scaled.tolist()}}
    (tmp_path / "in.json").write_text(json.dumps({"signature_name": "localize", **content}))
    arguments = ("predict", tmp_path / "in.json", "--server", target, "--model", "small")
    for name in ("out.npz", "out.json"):
        answer = _json(*arguments, "--version", "1", "--output", tmp_path / name)
        assert answer["signature"] == "localize"
        assert answer["version"] == 1
        assert answer["output"] == str(tmp_path / name)
        assert answer["shapes"]["theta"] == list(expected["theta"].shape)
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["theta"], expected["theta"], atol=1e-4)
    written = json.loads((tmp_path / "out.json").read_text())
    np.testing.assert_allclose(written["theta"], expected["theta"], atol=1e-4)
    chosen = _json(*arguments, "--signature", "rectify")
    assert list(chosen["outputs"]) == ["crops"]


def test_status_metadata_models(target, rest):
    place = ("--server", target, "--model", "small")
    state = {"version": 1, "state": "AVAILABLE", "error_code": "OK", "error": ""}
    assert _json("status", *place) == [state]
    assert _json("status", *place, "--version", "1") == [state]
    metadata = _json("metadata", *place)
    assert (metadata["model"], metadata["version"]) == ("small", 1)
    images = metadata["signatures"]["serving_default"]["inputs"]["images"]
    assert images == {"name": "images", "dtype": "float32", "shape": [None, *conftest.INPUT]}
    assert _json("models", "--server", rest) == [
        {"name": "small", "labels": {}, "versions": [state]}
    ]


def test_reload(model_dir, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "again" base_path: "{model_dir}" }} }}'
    )
    with running(model_dir) as server:
        target = f"grpc://127.0.0.1:{server.port}"
        assert _json("reload", config, "--server", target) == {"reloaded": str(config)}
        assert _json("status", "--server", target, "--model", "again")[0]["state"] == "AVAILABLE"


def test_the_server_by_environment(target, monkeypatch):
    monkeypatch.setenv("STN_TF_SERVER", target)
    assert _json("status", "--model", "small")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--model", "other"], "Error: NOT_FOUND: Could not find any versions of model"),
        (["predict", "none.png", "--model", "small"], "Error: `none.png` cannot be read: No such"),
        (["predict", "none.npy", "--model", "small"], "Error: `none.npy` cannot be read: No such"),
        (
            ["predict", "none.json", "--model", "small"],
            "Error: `none.json` cannot be read: No such",
        ),
        (["predict", "bad.npy", "--model", "small"], "Error: `bad.npy` holds no arrays: "),
        (["predict", "bad.npz", "--model", "small"], "Error: `bad.npz` holds no arrays: "),
        (
            ["predict", "bad.json", "--model", "small"],
            "Error: `bad.json` is no request: JSON Parse",
        ),
        (["predict", "x.npz", "--model", "small"], "Error: `inputs` must hold images, but it hol"),
        (
            ["predict", "x.npy", "--model", "small", "--signature", "S"],
            'Error: FAILED_PRECONDITION: Serving signature key "S" not found. The model has',
        ),
        (
            ["predict", "good.json", "--model", "small", "--signature", "S"],
            'Error: FAILED_PRECONDITION: Serving signature key "S" not found. The model has',
        ),
        (
            ["predict", "x.npy", "--model", "small", "--output", "none/x.npz"],
            "Error: `none/x.npz` cannot be written: No such",
        ),
        (["reload", "none.config"], "Error: `none.config` cannot be read: No such"),
    ],
)
def test_errors_are_one_line(server, scaled, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", scaled)
    np.savez("x.npz", pictures=scaled)
    for name in ("bad.npy", "bad.npz", "bad.json"):
        Path(name).write_text("nothing")
    Path("good.json").write_text(json.dumps({"instances": scaled.tolist()}))
    result = _client(*arguments, "--server", f"grpc://127.0.0.1:{server.port}")
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--model", "small"],
        ["status", "--server", "grpc://127.0.0.1:9"],
        ["predict", "--server", "grpc://127.0.0.1:9", "--model", "small"],
        ["predict", "a.npy", "b.npy", "--server", "grpc://127.0.0.1:9", "--model", "small"],
        ["predict", "a.npy", "--server", "grpc://h", "--model", "small", "--output", "x.csv"],
        ["guess"],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    assert _client(*arguments).exit_code == 2


@pytest.mark.parametrize("name", ["", "predict", "status", "metadata", "models", "reload"])
def test_help_has_an_example_and_imports_little(root, name):
    script = (
        "import sys\n"
        "from stn_tf.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'grpc', 'numpy', 'google.protobuf', 'urllib3', 'aiohttp'}\n"
        "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *f"client {name}".split(), "--help"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert "heavy: []" in done.stdout, done.stdout + done.stderr
    assert f"stn-tf client {name or 'predict'} " in done.stdout.split("Example", 1)[1]
