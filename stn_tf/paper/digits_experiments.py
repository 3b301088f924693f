"""The distorted-digit experiments on the 1,797 digits that come with scikit-learn.

Paper: Jaderberg et al. 2015, section 4.1 and appendix A.4, with MNIST replaced by a data set that
needs no download. The paper has no figures for it.
Command: `stn-tf train digits-rts`
Measured: RTS 0.84 % of 359 test images (`short`, seed 0); the others have not been measured.
Cost: `short` is meant for 3 minutes on 2 CPU cores.
"""

from stn_tf.paper.schedules import PAPER_SCHEDULE, adam_schedule
from stn_tf.recipe import Experiment

_SHORT_STEPS = {"r": 700, "rts": 1000, "p": 700, "e": 700, "tc": 400}
_LONG_STEPS = {"r": 8000, "rts": 15_000, "p": 8000, "e": 8000, "tc": 4800}

EXPERIMENTS = {
    f"digits-{distortion}": Experiment(
        settings={
            "source": "digits",
            "distortion": distortion,
            "model": "st-cnn-affine",
            # Appendix A.4: where the canvas is larger than the digit.
            "pool_crops": distortion in ("rts", "tc"),
        },
        schedules={
            "short": adam_schedule(_SHORT_STEPS[distortion], batch_size=128, learning_rate=2e-3),
            "long": adam_schedule(_LONG_STEPS[distortion], learning_rate=2e-3),
            "paper": PAPER_SCHEDULE,
        },
    )
    for distortion in ("r", "rts", "p", "e", "tc")
}
