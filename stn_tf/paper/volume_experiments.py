"""An extruded digit somewhere in a volume: a transformer of three dimensions.

Paper: Jaderberg et al. 2015, appendix A.3: an extruded digit in 60 x 60 x 60 voxels; an affine
transformer of 12 parameters, whose output is flattened along depth, and a CNN. It gives no error.
That each digit is turned is a decision of ours: `ExtrudedDigits` says why and how.
Command: `stn-tf train mnist-volumes --data-dir DIR`, `--model` one of st-3d, cnn-flattened and
cnn-3d; `digits-volumes` needs no download.
"""

from stn_tf.paper.schedules import adam_schedule
from stn_tf.recipe import Experiment

EXPERIMENTS = {
    f"{source}-volumes": Experiment(
        settings={"recipe": "volumes", "source": source, "model": "st-3d"},
        schedules={
            name: adam_schedule(
                steps, batch_size=32, learning_rate=1e-3, evaluate_every=max(steps // 2, 1)
            )
            for name, steps in (("short", short), ("long", long))
        },
    )
    for source, short, long in (("mnist", 1500, 15_000), ("digits", 1000, 10_000))
}
