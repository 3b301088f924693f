"""`train folder` on real images in every layout, and what it does with bad ones."""

import csv
import json
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stn_tf.errors import ConfigError, DataError, RunError
from stn_tf.experiments import Run, evaluate, load_experiment, train
from stn_tf.experiments.recipes import recipe_of
from stn_tf.layers import spatial_transformers
from stn_tf.recipe import Prepared

OWN = "tests.experiments.own_functions"
# A network of one layer, where the data is what is looked at.
LINEAR = (
    f"model={OWN}:linear",
    "image_size=8",
    "batch_size=8",
    "steps=2",
    "augment=light",
    "log_every=1",
    "deterministic=false",
)


def settings(data_dir: Path, *more: str) -> Any:
    return load_experiment("folder", [*LINEAR, f"data_dir={data_dir}", *more])


def prepared(data_dir: Path, *more: str) -> Prepared:
    config = load_experiment("folder", [f"data_dir={data_dir}", *more])
    return recipe_of(config).prepare(config)


def split_of(run: Path) -> dict[str, Counter[str]]:
    """Returns how many images of each class are in each part."""
    found: dict[str, Counter[str]] = {}
    with (run / "split.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["part"], Counter())[row["class"]] += 1
    return found


@pytest.mark.slow
def test_train_and_val(bird_run: Run, birds: Path) -> None:
    """Measured on val/, chosen by what is set aside from train/; two transformers look."""
    names = tuple(sorted(folder.name for folder in (birds / "train").iterdir()))
    assert bird_run.classes == names
    assert split_of(bird_run.path) == {
        "train": Counter(dict.fromkeys(names, 7)),
        "validation": Counter(dict.fromkeys(names, 1)),
        "test": Counter(dict.fromkeys(names, 4)),
    }
    report = bird_run.report
    assert report is not None
    assert report["test_images"] == 12
    assert report["model"] == "small"
    notes = "\n".join(report["notes"])
    assert "36 images of 3 classes: 21 to train on, 3 to choose by, 12 to report on." in notes
    assert "The result is measured on val/, because there is no part for tests" in notes
    assert "finds where transformers look (localisation=small)." in notes
    assert "augmentation: flip horizontal" in notes
    assert "decoded images are kept in memory" in notes
    image = bird_run.interface.image
    assert (image.shape, image.value_range, image.resize) == ((None, 32, 32, 3), (0, 1), "squash")
    (transformer,) = spatial_transformers(bird_run.load_model())
    assert transformer.output_size == (32, 32)
    assert (bird_run.path / "report.html").stat().st_size > 10_000


def test_evaluation_sees_what_a_server_sees(bird_run: Run, birds: Path) -> None:
    from stn_tf.data import read_image

    images, labels = bird_run.examples("test")
    files = sorted((birds / "val").rglob("*.jpg"))
    for image, label, file in zip(images, labels, files, strict=True):
        pixels = read_image(file, (32, 32), resize="squash")
        np.testing.assert_allclose(image * 255, pixels, atol=0.6)
        assert bird_run.classes[label] == file.parent.name
    evaluation = evaluate(bird_run)
    assert bird_run.report is not None
    assert evaluation.error_percent == bird_run.report["error_percent"]
    assert evaluation.images == 12


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("layout", ["classes", "train and test", "table"])
def test_other_layouts(layout: str, digits: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    # 10 a class: 7 to train on, 1 to choose by, 2 to report on, whoever sets aside what.
    if layout == "classes":
        shutil.copytree(digits, data_dir)
    elif layout == "train and test":
        for path in digits.rglob("*.png"):
            copy = data_dir / ("test" if path.stem in "01" else "Train") / path.parent.name
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.name)
    else:
        shutil.copytree(digits, tmp_path / "images")
        rows = [
            (f"images/{path.parent.name}/{path.name}", path.parent.name, _part(int(path.stem)))
            for path in sorted(digits.rglob("*.png"))
        ]
        data_dir = tmp_path / "labels.csv"
        with data_dir.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *rows])
    report = train(settings(data_dir), tmp_path / "run", progress=False)
    assert (report.test_images, report.steps) == (6, 2)
    classes = ("null", "one", "two")
    assert Run(tmp_path / "run").classes == classes
    assert split_of(tmp_path / "run") == {
        part: Counter(dict.fromkeys(classes, count))
        for part, count in (("train", 7), ("validation", 1), ("test", 2))
    }


def _part(number: int) -> str:
    return "train" if number < 7 else "validation" if number < 8 else "test"


def test_cub_has_its_official_split(cub_dir: Path, tmp_path: Path) -> None:
    made = prepared(cub_dir, f"model={OWN}:linear", "image_size=8")
    made.write_split(tmp_path / "split.csv")
    split = split_of(tmp_path)
    assert sum(split["train"].values()) + sum(split["validation"].values()) == 300
    assert sum(split["test"].values()) == 243
    assert made.interface.class_names[0] == "001.Black_footed_Albatross"


def test_the_split_of_a_run_is_used_again(bird_run: Run, birds: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(bird_run.path, run)
    shutil.copytree(birds, moved)
    # New images would change what hashes set aside; they are left out.
    name = bird_run.classes[0]
    for number in range(9):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(moved / "train" / name / f"{number}.png")
    for part in ("validation", "test"):
        images, labels = bird_run.examples(part)
        again, same = Run(run, moved).examples(part)
        np.testing.assert_array_equal(again, images)
        np.testing.assert_array_equal(same, labels)
    assert "Left out 9 images that are new since then" in "\n".join(Run(run, moved).prepared.notes)
    # What the file says holds, whatever the data says.
    text = (run / "split.csv").read_text()
    (run / "split.csv").write_text(text.replace(",test,", ",x,").replace(",validation,", ",test,")
                                   .replace(",x,", ",validation,"))  # fmt: skip
    swapped, _ = Run(run, moved).examples("validation")
    np.testing.assert_array_equal(swapped, bird_run.examples("test")[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("further class", r"has other classes than the model was trained on \(new: emu\)"),
        ("class gone", r"12 images of the run are not in .*moved, or cannot be read: "),
        ("class renamed", r"12 images of the run are not in .*moved, or cannot be read: "),
    ],
)
def test_data_with_other_classes_exception_raised(
    change: str, message: str, bird_run: Run, birds: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(birds, moved)
    name = bird_run.classes[1]
    for part in ("train", "val"):
        if change == "further class":
            shutil.copytree(moved / part / name, moved / part / "emu")
        elif change == "class gone":
            shutil.rmtree(moved / part / name)
        else:
            (moved / part / name).rename(moved / part / "emu")
    with pytest.raises(DataError, match=message):
        evaluate(Run(bird_run.path, moved))


@pytest.mark.usefixtures("without_page")
def test_a_run_goes_on_for_more_steps_with_its_own_settings(digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = train(settings(digits, "seed=3", "batch_size=6"), run, progress=False)
    # Only what must be given; the rest is the run's, and said to be.
    given = [f"data_dir={digits}", "steps=4", f"model={OWN}:linear", "deterministic=false"]
    report = train(load_experiment("folder", given), run, resume=True, progress=False)
    assert (first.steps, report.steps) == (2, 4)
    config: Any = Run(run).config
    assert (config.seed, config.batch_size, config.image_size) == (3, 6, (8, 8))
    (line,) = [note for note in report.notes if note.startswith("Going on with the settings of")]
    for setting in ("seed=3", "batch_size=6", "augment=light"):
        assert setting in line
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    # More epochs are more steps; fewer than were taken only give the report.
    again = train(load_experiment(run / "config.toml", ["epochs=2"]), run, resume=True,
                  progress=False)  # fmt: skip
    assert again.steps == 7
    done = train(load_experiment(run / "config.toml", ["steps=5"]), run, resume=True,
                 progress=False)  # fmt: skip
    assert done == again


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch_size=4", "`batch_size` 6 (now 4)"),
        ("image_size=40", "`image_size` (32, 32) (now (40, 40))"),
        ("augment=none", "`augment` 'standard' (now 'none')"),
        ("transformers=1", "`transformers` 2 (now 1)"),
    ],
)
def test_resume_with_other_settings_exception_raised(
    setting: str, message: str, bird_run: Run, birds: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in bird_run.path.rglob("*")}
    config = load_experiment("folder", [f"data_dir={birds}", setting])
    with pytest.raises(RunError) as caught:
        train(config, bird_run.path, resume=True, progress=False)
    assert str(caught.value).startswith(
        f"`{bird_run.path}` was started with other settings: {message}. Resume with the same"
    )
    assert {path: path.stat().st_mtime_ns for path in bird_run.path.rglob("*")} == before


@pytest.mark.usefixtures("without_page")
def test_init_from_a_run_with_other_classes(digits: Path, tmp_path: Path) -> None:
    """What fits is taken over, and what does not is named; a rate of nearly 0 keeps it."""
    changes = [f"model={OWN}:named_layers", "learning_rate=1e-30"]
    train(settings(digits, *changes), tmp_path / "three", progress=False)
    two = tmp_path / "data"
    shutil.copytree(digits, two)
    shutil.rmtree(two / "two")
    report = train(
        settings(two, *changes, "seed=9"),
        tmp_path / "two",
        init=tmp_path / "three",
        progress=False,
    )
    before = Run(tmp_path / "three").load_model()
    after = Run(tmp_path / "two").load_model()
    assert after.output_shape == (None, 2)
    for ours, theirs in zip(after.get_layer("hidden").get_weights(),
                            before.get_layer("hidden").get_weights(), strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, theirs, atol=1e-20)
    (line,) = [note for note in report.notes if "head" in note]
    assert "three" in line


@pytest.mark.slow
def test_two_workers(digits: Path, tmp_path: Path, stn_tf_process: Any, finish: Any) -> None:
    """Each takes its half of every batch; the chief alone writes."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    given = [word for setting in LINEAR for word in ("--set", setting)]
    processes = [
        stn_tf_process(
            *("train", "folder", "--data-dir", digits, "--out", tmp_path / "run", "--json"),
            *given,
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]
    results = [finish(process) for process in processes]
    assert [code for code, _, _ in results] == [0, 0], results
    reports = [json.loads(stdout) for _, stdout, _ in results]
    assert [report["replicas"] for report in reports] == [2, 2]
    assert reports[0]["weights_sha256"] == reports[1]["weights_sha256"]
    assert Run(tmp_path / "run").report == reports[0]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["class_weights={tow=2.0}"], r"`class_weights`.*tow.*null, one, two"),
        (["balance=weights", "class_weights={two=2.0}"], "`balance`"),
        (["backbone=resnext"], "`backbone` must be auto or one of efficientnet-lite0, small, "),
        (["backbone=efficientnet-lite"], "Did you mean `efficientnet-lite0`"),
        (["backbone=small", "weights=nowhere.keras"], "`weights` must be a file that exists"),
        (["augment=strnog"], "`augment`.*strnog"),
        (["augment={rotat=3.0}"], r"`augment\.rotat` is not .* Did you mean `rotate`"),
        (["data=folders"], "`data` must be one of auto, folder"),
        (["data=table"], r"`data_dir` must be a \.csv or \.parquet file"),
        (["monitor=accuracy", *LINEAR], "`monitor`.*accuracy"),
        (['frozen=["bakbone"]', "frozen_steps=1", *LINEAR], "`frozen`.*bakbone"),
        (["image_size=12", "backbone=small"], "`image_size` must be at least 16 x 16 for"),
        (["crop_size=32", "backbone=small", "transformers=0"], "`crop_size`.* need transformers"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(
    changes: list[str], message: str, digits: Path, tmp_path: Path
) -> None:
    config = load_experiment("folder", [f"data_dir={digits}", "deterministic=false", *changes])
    with pytest.raises((ConfigError, DataError), match=message):
        train(config, tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def test_one_class_exception_raised(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits / "one", tmp_path / "data" / "one")
    with pytest.raises(DataError, match=r"must hold at least two classes .* only one, one"):
        train(settings(tmp_path / "data"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_page")
def test_an_image_that_is_cut_off_is_named(birds: Path, tmp_path: Path) -> None:
    """Its header can be read, so that only decoding finds out."""
    shutil.copytree(birds, tmp_path / "data")
    path = min((tmp_path / "data" / "train").rglob("*.jpg"))
    path.write_bytes(path.read_bytes()[:-300])
    name = path.relative_to(tmp_path / "data").as_posix()
    with pytest.raises(DataError) as caught:
        train(settings(tmp_path / "data", "steps=5"), tmp_path / "run", progress=False)
    assert str(caught.value).startswith(f"The image {name} cannot be read: ")
    assert "\n" not in str(caught.value)


def test_no_data_dir_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`data_dir` must name the images: .* Add `--data-dir"):
        train(load_experiment("folder"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
