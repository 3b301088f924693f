"""The file of batching parameters: what the export writes, and what is refused."""

from pathlib import Path

import pytest

from stn_tf.errors import ConfigError
from stn_tf.export import write_batching_parameters
from stn_tf.serving.batching_parameters import (
    BatchingParameters,
    parse_batching_parameters,
    read_batching_parameters,
)


def test_what_the_export_wrote_is_read(tmp_path: Path) -> None:
    path = write_batching_parameters(
        tmp_path / "batching.config",
        max_batch_size=64,
        batch_timeout_micros=500,
        max_enqueued_batches=7,
        num_batch_threads=3,
        pad_variable_length_inputs=True,
        max_execution_batch_size=8,
    )
    assert read_batching_parameters(path) == BatchingParameters(
        64, 500, 7, 3, (1, 2, 4, 8), True, True, 8
    )


def test_defaults_are_those_of_tensorflow_serving() -> None:
    found = parse_batching_parameters("# nothing")
    assert found == BatchingParameters()
    assert (found.batch_size, found.batch_timeout_micros, found.max_enqueued_batches) == (
        1000,
        0,
        10,
    )
    assert found.threads >= 1


def test_sizes_are_filled_up() -> None:
    found = parse_batching_parameters(
        "max_batch_size { value: 8 } allowed_batch_sizes: [2, 8] thread_pool_name { value: 'x' }"
    )
    assert [found.padded(rows) for rows in (1, 2, 3, 8)] == [2, 2, 8, 8]
    assert BatchingParameters().padded(3) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "in here: 1:17 : "),
        ("\n\nmax_batch { value: 3 }", 'in here: 3:1 : .*no field named "max_batch"'),
        ("max_batch_size { value: 3 } max_batch_size { value: 4 }", "should not have multiple"),
        ("# max_batch_size\nmax_batch_size {\nvalue: 0 }", "^here, line 2: `max_batch_size` must"),
        (
            "max_batch_size { value: 4 }\nallowed_batch_sizes: 2",
            "^here, line 2: `allowed_batch_sizes` must grow from at least 1 and end in 4",
        ),
        (
            "enable_large_batch_splitting { value: true }\n"
            "max_execution_batch_size { value: 4000 }",
            "^here, line 2: `max_execution_batch_size` must be at most `max_batch_size`, 1000, ",
        ),
        ("max_execution_batch_size { value: 4 }", "needs `enable_large_batch_splitting"),
    ],
)
def test_wrong_text_exception_raised(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_batching_parameters(text, "here")


def test_unreadable_file_exception_raised(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for name in ("missing", "binary"):
        with pytest.raises(ConfigError, match=f"{name}` cannot be read: "):
            read_batching_parameters(tmp_path / name)
