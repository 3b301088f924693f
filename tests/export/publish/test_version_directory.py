"""The folder of a version: built aside, renamed, or gone."""

import os
import stat
from pathlib import Path

import pytest

from stn_tf.errors import ExportError
from stn_tf.export.publish.version_directory import new_version


def test_is_invisible_until_complete(tmp_path):
    with new_version(tmp_path / "out") as version:
        (version.path / "file").write_text("x")
        assert [p.name for p in (tmp_path / "out").iterdir() if p.name.isdigit()] == []
        assert version.path.parent == tmp_path / "out"  # One file system: renaming is atomic.
    assert version.path == tmp_path / "out" / "1"
    assert [p.name for p in version.path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_any_error_leaves_nothing(tmp_path, error):
    def build() -> None:
        with new_version(tmp_path / "a" / "b") as version:
            (version.path / "sub").mkdir()
            (version.path / "sub" / "file").write_text("x")
            raise error

    with pytest.raises(error):
        build()
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / "out" / "1").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), new_version(tmp_path / "out"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1"]


def test_two_exports_at_once_get_two_numbers(tmp_path):
    with new_version(tmp_path) as first:
        with new_version(tmp_path) as second:
            (second.path / "second").touch()
        (first.path / "first").touch()
    assert (second.path.name, first.path.name) == ("1", "2")
    assert (tmp_path / "1" / "second").exists()
    assert (tmp_path / "2" / "first").exists()


def test_other_users_can_read_it(tmp_path):
    mask = os.umask(0o022)
    try:
        with new_version(tmp_path) as version:
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE(version.path.stat().st_mode) == 0o755


def test_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    message = r"^`.*file/out` cannot be written: Not a directory\. "
    with pytest.raises(ExportError, match=message), new_version(tmp_path / "file" / "out"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="Permission denied"), new_version(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_read_only_file_system():
    # Nobody, root included, can make a folder here.
    message = "^`/proc/stn_tf_out` cannot be written: "
    with pytest.raises(ExportError, match=message), new_version(Path("/proc/stn_tf_out")):
        pass
