"""Finding what some images have in common, without being told where it is.

Paper: Jaderberg et al. 2015, appendix A.2: 100 images of one class in 84 x 84, a hinge over
triplets of them, attention. Found are windows that overlap with the digit's own image by more than
half (intersection over union): in the paper 100 % of the images without distractors (T), 75 to 93 %
with 16 of them (TC).
Measured: docs/results.md. Some digits are not found: windows may agree on showing nothing, above
all among distractors (2 and 4), which a loss near 0.9 after training tells; or stay too large (0).
Command: `stn-tf train mnist-colocalisation-t --data-dir DIR`, `--set digit=3`; `-tc` has the
distractors, `digits-colocalisation-t` needs no download.
"""

from stn_tf.paper.schedules import adam_schedule
from stn_tf.recipe import Experiment

EXPERIMENTS = {
    f"{source}-colocalisation-{name}": Experiment(
        settings={
            "recipe": "colocalisation",
            "source": source,
            "distractors": distractors,
            "encoder_steps": encoder_steps,
        },
        schedules={
            "short": adam_schedule(800, batch_size=100, learning_rate=5e-3),
            "long": adam_schedule(2400, batch_size=100, learning_rate=5e-3),
        },
    )
    for source in ("mnist", "digits")
    for name, distractors, encoder_steps in (("t", 0, 600), ("tc", 16, 1500))
}
