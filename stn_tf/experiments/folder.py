"""Your own images, and networks for photographs.

Command: `stn-tf train folder --data-dir DIR`, where DIR has one sub-folder of images a class, or
such folders within `train/`, `val/` and `test/`; `--set backbone=NAME`, `--set transformers=2` for
objects that are turned or lie anywhere, `--set image_size=320` for more detail.
Result: depends on your images; `stn-tf evaluate RUN` says.
"""

from stn_tf.recipe import Experiment

EXPERIMENTS = {"folder": Experiment(settings={"recipe": "images", "data": "auto"})}
