"""What a server computes and says, by both clients over both protocols."""

import asyncio
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ConfigError, DataError, InputError
from stn_tf.serving.client import AsyncClient, Client, RequestError, VersionStatus
from tests.serving.client.conftest import asker, url
from tests.serving.server.conftest import SIZE
from tests.serving.server.running import running, until


def _encoded(pictures: np.ndarray) -> list[bytes]:
    return [tf.io.encode_png(np.uint8(picture * 255)).numpy() for picture in pictures]


def test_predict(ask, served_model, pictures):
    answer = ask("predict", pictures, model="small")
    assert list(answer.outputs) == ["class", "logits", "probabilities"]
    np.testing.assert_allclose(answer.outputs["logits"], served_model(pictures), atol=1e-4)
    assert answer.outputs["logits"].dtype == np.float32
    assert answer.outputs["class"].dtype == np.int64
    assert answer.outputs["class"].flags.writeable
    assert (answer.model, answer.signature) == ("small", "serving_default")
    assert answer.version == 3


@pytest.mark.parametrize("place", [{"version": 2}, {"label": "canary"}])
def test_a_version(ask, served_model, pictures, place):
    latest = ask("predict", pictures, model="small").outputs["logits"]
    other = ask("predict", pictures, model="small", **place)
    assert np.abs(other.outputs["logits"] - latest).max() > 1e-3
    assert other.version == 2
    assert ask("metadata", "small", **place).version == 2


@pytest.mark.parametrize("form", ["mapping", "wide", "list", "one_row"])
def test_forms_of_inputs(ask, served_model, pictures, form):
    inputs = {
        "mapping": {"images": pictures},
        "wide": pictures.astype(np.float64),
        "list": pictures.tolist(),
        "one_row": np.asfortranarray(pictures)[1:2],
    }[form]
    expected = served_model(pictures)[1:2] if form == "one_row" else served_model(pictures)
    answer = ask("predict", inputs, model="small")
    np.testing.assert_allclose(answer.outputs["logits"], expected, atol=1e-4)


def test_signatures_and_outputs(ask, pictures):
    answer = ask("predict", pictures, model="small", signature="localize")
    assert answer.signature == "localize"
    assert answer.outputs["theta"].shape == (3, 3)
    assert answer.outputs["corners"].shape == (3, 4, 2)
    answer = ask("predict", pictures, model="small", signature="rectify")
    assert {name: array.shape for name, array in answer.outputs.items()} == {"crops": (3, 5, 5, 1)}
    for names in (["class"], ["probabilities", "class"]):
        assert list(ask("predict", pictures, model="small", outputs=names).outputs) == names


def test_images(ask, served_model, pictures, tmp_path):
    encoded = _encoded(pictures)
    (tmp_path / "one.png").write_bytes(encoded[1])
    images = [encoded[0], tmp_path / "one.png", str(tmp_path / "one.png")]
    answer = ask("predict_images", images, model="small")
    rounded = np.uint8(pictures[[0, 1, 1]] * 255).astype(np.float32) / 255
    np.testing.assert_allclose(answer.outputs["logits"], served_model(rounded), atol=1e-4)
    assert answer.signature == "serving_bytes"
    with pytest.raises(DataError, match=r"none\.png` cannot be read: No such file"):
        ask("predict_images", [tmp_path / "none.png"], model="small")
    with pytest.raises(InputError, match="must be a list"):
        ask("predict_images", encoded[0], model="small")
    with pytest.raises(InputError, match="Give arrays to `predict`"):
        ask("predict_images", [pictures[0]], model="small")


def test_status_metadata_health(ask):
    expected = [VersionStatus(number, "AVAILABLE") for number in (3, 2, 1)]
    assert sorted(ask("status", "small"), key=lambda one: -one.version) == expected
    assert ask("status", "small", version=2) == [VersionStatus(2, "AVAILABLE")]
    metadata = ask("metadata", "small")
    assert (metadata.model, metadata.version) == ("small", 3)
    assert {"localize", "rectify", "serving_default"} <= set(metadata.signatures)
    images = metadata.signatures["serving_default"].inputs["images"]
    assert (images.dtype, images.shape) == ("float32", (None, *SIZE))
    assert ask("ready") is True
    assert ask("ready", "small") is True
    assert ask("ready", "other") is False
    assert ask("live") is True


def test_models(ask, protocol):
    if protocol == "rest":
        (model,) = ask("models")
        assert (model.name, model.labels) == ("small", {"canary": 2})
        assert {one.version for one in model.versions} == {1, 2, 3}
    else:
        with pytest.raises(RequestError, match="gRPC API has no list of models"):
            ask("models")


def test_reload(kind, base_path, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "again" base_path: "{base_path}" }} }}'
    )
    with running(base_path) as server:
        ask = asker(url(server, "grpc"), kind)
        ask("reload", config)
        assert ask("ready", "again")
        assert not ask("ready", "small")
        config.write_text('model_config_list { config { name: "none" base_path: "relative" } }')
        with pytest.raises(RequestError, match=r"INVALID_ARGUMENT: `base_path` of model none must"):
            ask("reload", config)
        config.write_text("models {}")
        with pytest.raises(ConfigError, match=r"^Error parsing text-format tensorflow\.serving"):
            ask("reload", config)
        with pytest.raises(ConfigError, match="cannot be read: No such file"):
            ask("reload", tmp_path / "none")
        with pytest.raises(RequestError, match="REST API does not reload configurations"):
            asker(url(server, "rest"), kind)("reload", config)


@pytest.mark.parametrize(
    ("change", "code", "message", "cure"),
    [
        (
            {"model": "other"},
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
            "status",
        ),
        ({"version": 9}, "NOT_FOUND", "Servable not found for request: Specific(small, 9)", ""),
        ({"label": "no"}, "INVALID_ARGUMENT", "Unrecognized servable version label: no", ""),
        (
            {"signature": "S"},
            "FAILED_PRECONDITION",
            'Serving signature key "S" not found.',
            "The model has localize, rectify, serving_bytes, serving_default.",
        ),
        (
            {"outputs": ["A"]},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: A Outputs expected to be in the set "
            "{class,logits,probabilities}.",
            "metadata",
        ),
        ({"inputs": np.zeros((1, 2, 3, 4), np.float32)}, "INVALID_ARGUMENT", "", "metadata"),
    ],
)
def test_refusals(ask, pictures, change, code, message, cure):
    with pytest.raises(RequestError) as error:
        ask("predict", **{"inputs": pictures, "model": "small", **change})
    assert error.value.code == code
    assert message in error.value.message
    assert cure in error.value.cure
    assert str(error.value).startswith(f"{code}: {error.value.message.strip()}")
    assert error.value.__cause__ is None


def test_a_client_lives_on_after_refusals(client, pictures):
    for _ in range(3):
        with pytest.raises(RequestError):
            client.predict(np.zeros((1, 2, 3, 4), np.float32), model="small")
    assert client.predict(pictures, model="small").outputs["class"].shape == (3,)


def test_many_threads(client, served_model, pictures):
    expected, wrong = np.asarray(served_model(pictures)), []

    def work() -> None:
        for index in range(20):
            rows = slice(index % 3, index % 3 + 1)
            found = client.predict(pictures[rows], model="small").outputs["logits"]
            if not np.allclose(found, expected[rows], atol=1e-4):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_many_coroutines(server, protocol, served_model, pictures):
    async def work() -> list[np.ndarray]:
        async with AsyncClient(url(server, protocol)) as client:
            answers = await asyncio.gather(
                *(client.predict(pictures[i % 3][None], model="small") for i in range(60))
            )
        return [answer.outputs["logits"][0] for answer in answers]

    expected = np.tile(served_model(pictures), (20, 1))
    np.testing.assert_allclose(asyncio.run(work()), expected, atol=1e-4)


def test_messages_beyond_four_mebibytes(ask, protocol):
    many = np.zeros((60_000, *SIZE), np.float32)
    signature = "serving_default" if protocol == "rest" else "rectify"
    answer = ask("predict", many, model="small", signature=signature)
    assert {len(array) for array in answer.outputs.values()} == {60_000}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_signature_that_changes_with_the_latest_version(tmp_path, base_path, protocol):
    """The names of inputs that a client knows may be those of an older version."""
    other = tf.Module()
    other.double = tf.function(
        lambda pixels: {"doubled": 2 * pixels}, [tf.TensorSpec([None, 4], name="pixels")]
    )
    tf.saved_model.save(other, tmp_path / "aside", other.double)
    shutil.copytree(base_path / "1", tmp_path / "small" / "1")
    polling = ("--file_system_poll_wait_seconds", "0.05")
    with running(tmp_path / "small", *polling) as server, Client(url(server, protocol)) as client:
        assert "logits" in client.predict(np.zeros((1, *SIZE)), model="small").outputs
        (tmp_path / "aside").rename(tmp_path / "small" / "2")
        until(lambda: client.status("small")[0] == VersionStatus(2, "AVAILABLE"))
        outputs = client.predict(np.ones((1, 4)), model="small").outputs
        np.testing.assert_array_equal(outputs["doubled"], np.full((1, 4), 2))
        with pytest.raises(InputError, match="must hold pixels, but it holds images"):
            client.predict({"images": np.zeros((1, *SIZE))}, model="small")


def test_a_closed_client(server, protocol):
    client = Client(url(server, protocol))
    client.close()
    client.close()
    with pytest.raises(ConfigError, match="The client is closed"):
        client.live()

    async def close() -> None:
        other = AsyncClient(url(server, protocol))
        await other.live()
        await other.close()
        await other.close()
        with pytest.raises(ConfigError, match="The client is closed"):
            await other.live()

    asyncio.run(close())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": ""}, "`model` must be a name"),
        ({"version": 1, "label": "a"}, "must not be given both"),
        ({"version": -1}, r"must be in \[0, 2\*\*63\)"),
        ({"timeout": 0}, "`timeout` must be seconds above 0"),
        ({"outputs": "class"}, "must be a list of names"),
        ({"inputs": {"pictures": [1.0]}}, "must hold images, but it holds pictures"),
    ],
)
def test_arguments_that_fit_no_request(ask, pictures, arguments, message):
    with pytest.raises(InputError, match=message):
        ask("predict", **{"inputs": pictures, "model": "small", **arguments})
