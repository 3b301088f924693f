"""Reading manifests, without TensorFlow and with clear errors."""

import subprocess
import sys

import pytest

from stn_tf.errors import ModelError
from stn_tf.export import read_manifest


def _write(folder, text: str) -> None:
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "stn_tf.json").write_text(text, encoding="utf-8")


def test_reads_what_was_written(exported):
    assert read_manifest(exported.version_dir) == exported.result.manifest


def test_reading_needs_no_tensorflow(exported, root):
    code = (
        "import sys; from pathlib import Path; from stn_tf.export import read_manifest; "
        "print(read_manifest(Path(sys.argv[1])).model); assert 'tensorflow' not in sys.modules"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(exported.version_dir)],
        check=True,
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert run.stdout == "small\n"


def test_unknown_keys_of_a_later_version_are_ignored(exported, tmp_path):
    manifest = exported.result.manifest
    text = manifest.model_dump_json()
    _write(tmp_path, text[:-1] + ', "later": {"key": 1}}')
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a manifest that this version reads: Expecting value"),
        ('{"format": 3}', "is not a manifest of format 2: format: "),
        ('{"format": 2}', "is not a manifest of format 2: experiment: Field required"),
        ('{"format": 1}', "is not a manifest that this version reads: 'signatures'"),
        ('{"format": 1, "signatures": 5}', "is not a manifest that this version reads: "),
        ('{"format": 1, "inputs": []}', "is not a manifest that this version reads: "),
        ("[]", "is not a manifest of format 2: the whole file: "),
    ],
)
def test_damaged_manifest(text, message, tmp_path):
    _write(tmp_path, text)
    with pytest.raises(ModelError, match=message) as error:
        read_manifest(tmp_path)
    assert "\n" not in str(error.value)


def test_missing_manifest(tmp_path):
    with pytest.raises(ModelError, match=r"stn_tf.json` cannot be read: No such file"):
        read_manifest(tmp_path)
