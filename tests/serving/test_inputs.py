"""Files as they come: damaged, hidden, oddly named; and disks that are full."""

import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from stn_tf.errors import DataError, InputError
from stn_tf.interface import InputSpec
from stn_tf.serving.jobs import find_inputs, predict
from stn_tf.serving.models import Engine, load_engine
from tests.export.conftest import INPUT
from tests.serving.conftest import CLASSES


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return load_engine(model_dir)


@pytest.fixture(scope="module")
def spec(engine: Engine) -> InputSpec:
    return engine.manifest.interface.image


def test_hidden_files_and_folders_are_no_images(folder: Path, spec: InputSpec) -> None:
    (folder / "3a.png").unlink()
    (folder / "._0.png").write_bytes(b"what macOS writes beside each file of a foreign disk")
    (folder / "album.png").mkdir()
    (folder / "notes.txt").write_text("no image")
    found = find_inputs([folder], spec, CLASSES)
    assert [path.name for path in found.files] == [f"{index}.png" for index in range(8)]


def test_batches_are_full_and_in_order_whatever_the_files(
    folder: Path, images: np.ndarray, tmp_path: Path, spec: InputSpec
) -> None:
    np.save(tmp_path / "five.npy", images[:5])
    paths = [folder / "0.png", tmp_path / "five.npy", folder, folder / "7.png"]
    (folder / "7.png").write_bytes((folder / "more" / "7.png").read_bytes())
    found = find_inputs(paths, spec, CLASSES)
    batches = list(found.batches(4))
    # One file, five of an array, then eleven files, one of which (the fifth) is damaged.
    assert [len(batch.images) for batch in batches] == [1, 4, 1, 4, 3, 3]
    rows = np.concatenate([batch.images for batch in batches])
    expected = images[[0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 7, 6, 7, 7]] / 255.0
    np.testing.assert_allclose(rows, expected, atol=1e-7)
    assert [path.name for path, _ in found.unreadable] == ["3a.png"]


def test_image_that_makes_the_decoder_stumble(
    engine: Engine, images: np.ndarray, tmp_path: Path
) -> None:
    """EXIF data with a text where a number belongs: Pillow 12 raises struct.error for it.

    Whether that file is read or listed, the others are done.
    """
    exif = Image.Exif()
    exif[0x0112] = 6  # The orientation, for which Pillow writes the other tags anew.
    exif[0x0102] = 8
    (tmp_path / "images").mkdir()
    for index in range(3):
        path = tmp_path / "images" / f"{index}.jpg"
        Image.fromarray(images[index, ..., 0]).save(path, exif=exif)
    damaged = tmp_path / "images" / "1.jpg"
    content = damaged.read_bytes()
    entry = content.index(b"\x01\x02\x00\x03")  # Tag 0x0102, type 3: a 16-bit number.
    damaged.write_bytes(content[: entry + 3] + b"\x02" + content[entry + 4 :])
    summary = predict(engine, [tmp_path / "images"], tmp_path / "rows.jsonl")
    assert summary.images + len(summary.unreadable) == 3
    rows = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    names = {Path(json.loads(row)["source"]).name for row in rows}
    assert {"0.jpg", "2.jpg"} <= names


def test_turned_photo_has_corners_as_it_is_shown(engine: Engine, tmp_path: Path) -> None:
    """A camera held upright: 24 x 28 pixels are stored, 28 x 24 are shown and are meant."""
    values = np.random.default_rng(8).integers(0, 256, (28, 24)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by a quarter, clockwise.
    Image.fromarray(np.rot90(values)).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(values).save(tmp_path / "upright.png")
    predict(engine, [tmp_path / "turned.png", tmp_path / "upright.png"], tmp_path / "rows.jsonl")
    turned, upright = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert turned.pop("source") != upright.pop("source")
    assert turned == upright


def test_name_that_is_no_text(engine: Engine, images: np.ndarray, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"  # Latin-1, as old archives unpack.
    try:
        with open(path, "wb") as file:
            Image.fromarray(images[0, ..., 0]).save(file, format="PNG")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    for suffix in ("jsonl", "csv", "parquet"):
        predict(engine, [tmp_path], tmp_path / f"rows.{suffix}")
    shown = f"{tmp_path}/caf\\udce9.png"
    assert json.loads((tmp_path / "rows.jsonl").read_text("utf-8"))["source"] == shown
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet")["source"].to_pylist() == [shown]


@pytest.mark.parametrize("damage", ["cut off", "one byte", "no archive", "lies about its size"])
def test_damaged_npz_exception_raised(
    engine: Engine, images: np.ndarray, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "images.npz"
    np.savez_compressed(path, images=images)
    content = bytearray(path.read_bytes())
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "one byte":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "no archive":
        path.write_bytes(b"PK but not really")
    else:
        np.save(tmp_path / "one.npy", images[:1])
        header = (tmp_path / "one.npy").read_bytes().replace(b"(1, 14,", b"(9, 14,")
        (tmp_path / "one.npy").unlink()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", header)
    with pytest.raises(DataError, match=r"^`.*images\.npz` cannot be read: ") as raised:
        predict(engine, [path], tmp_path / "rows.csv")
    assert "\n" not in str(raised.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["images.npz"]


def test_array_names(engine: Engine, images: np.ndarray, tmp_path: Path) -> None:
    other = np.zeros((4, 14, 12, 1), np.uint8)
    for arrays, count in (
        ({"images": images, "x": other}, 9),
        ({"x": other, "more": images}, 4),
        ({"anything": images, "scores": np.zeros(3), "ids": np.arange(9)}, 9),
    ):
        np.savez(tmp_path / "arrays.npz", **arrays)
        assert predict(engine, [tmp_path / "arrays.npz"], tmp_path / "rows.csv").images == count
    np.savez(tmp_path / "arrays.npz", a=images, b=images)
    with pytest.raises(InputError, match="one array of images only, but its arrays are a, b"):
        predict(engine, [tmp_path / "arrays.npz"], tmp_path / "rows.csv")


def test_labels(engine: Engine, images: np.ndarray, expected: dict, tmp_path: Path) -> None:
    picked = expected["logits"].argmax(axis=-1)
    names = np.array(CLASSES)[picked]
    for labels in (picked.astype(np.uint8), names):
        np.savez(tmp_path / "arrays.npz", images=images, labels=labels)
        summary = predict(engine, [tmp_path / "arrays.npz"], tmp_path / "rows.csv")
        assert summary.error_percent == 0.0
    for labels, message in (
        (picked[:4], r"one label per image, \[9\], but its labels have shape \[4\]"),
        (picked - 9, r"class indices 0\.\.3 or class names, but they are int64 from -"),
        (picked + 9, r"class indices 0\.\.3 or class names, but they are int64 from "),
        (picked / 4.0, "class names, but they are float64 from 0"),
        (np.array(["elk"] * 9), "'elk' is none of ant, bee, cat, dög"),
        (np.array([b"ant"] * 9), r"but they are \|S3"),
        (np.array([None] * 9), "cannot be read: Object arrays"),
    ):
        np.savez(tmp_path / "arrays.npz", images=images, labels=labels)
        with pytest.raises((InputError, DataError), match=message):
            predict(engine, [tmp_path / "arrays.npz"], tmp_path / "rows.csv")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_full_disk_exception_raised(engine: Engine, tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files, which the kernel reports as it does a full disk."""
    many = np.random.default_rng(2).integers(0, 256, (500, *INPUT)).astype(np.uint8)
    np.save(tmp_path / "images.npy", many)
    output = tmp_path / f"rows.{suffix}"
    output.write_text("kept")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            predict(engine, [tmp_path / "images.npy"], output, batch_size=32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert output.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", output.name]
