"""The sum of two distorted digits: transformers in parallel.

Paper: Jaderberg et al. 2015, appendix A.1: two digits in two channels of 42 x 42, each rotated,
scaled and moved by itself; 19 classes.
Command: `stn-tf train mnist-addition --data-dir DIR`, `--model` one of fcn, cnn, st-fcn-affine,
2xst-fcn-affine and their projective and tps; `digits-addition` needs no download.
Paper's test error in percent: FCN 47.7, CNN 14.7, ST-FCN affine 22.6, 2xST-FCN affine 9.0,
projective 5.9, tps 5.8.
Measured: 2xST-FCN affine 6.12 % (`long`, seed 0, 24 minutes on one core); docs/results.md holds
what else was run. What it takes is `curriculum`: with all of the distortion from the first
step the same training ends at 35.15 %.
"""

from stn_tf.paper.schedules import PAPER_SCHEDULE, adam_schedule
from stn_tf.recipe import Experiment

EXPERIMENTS = {
    f"{source}-addition": Experiment(
        settings={
            "recipe": "addition",
            "source": source,
            "distortion": "rts",
            "model": "2xst-fcn-affine",
        },
        schedules={
            name: adam_schedule(
                steps,
                batch_size=64,
                learning_rate=1e-3,
                log_every=50,
                curriculum=0.375,
            )
            for name, steps in (("short", short), ("long", long))
        }
        | {
            "paper": PAPER_SCHEDULE,
        },
    )
    for source, short, long in (("mnist", 12_000, 40_000), ("digits", 4000, 20_000))
}
