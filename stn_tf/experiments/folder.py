"""Your own images: a folder with one sub-folder for each class.

Command: `stn-tf train folder --data-dir DIR`; `--set "image_size=[96, 96]"` for larger images,
`--set channels=1` for grey ones, `--set distortion=rts` for objects placed, turned and scaled.
Result: depends on your images; `stn-tf evaluate RUN` says.
"""

from stn_tf.experiments.experiment import PAPER_SCHEDULE, Experiment, adam_schedule

EXPERIMENTS = {
    "folder": Experiment(
        settings={
            "source": "folder",
            "image_size": (64, 64),
            "channels": 3,
            "distortion": "none",
            "model": "st-cnn-affine",
        },
        schedules={
            "short": adam_schedule(500, batch_size=64, learning_rate=1e-3),
            "long": adam_schedule(2000, batch_size=64, learning_rate=1e-3),
            "paper": PAPER_SCHEDULE,
        },
    )
}
