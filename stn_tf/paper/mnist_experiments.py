"""The distorted-MNIST experiments of the paper.

Paper: Jaderberg et al. 2015, section 4.1, table 1 and appendix A.4.
Command: `stn-tf train mnist-rts --data-dir DIR`, DIR with the four idx files; without `--data-dir`
they are downloaded.
Paper's test error of st-cnn-affine in percent: R 0.7, RTS 0.5, P 0.8, E 1.2, TC 1.7.
Measured: RTS 0.89 % (`short`, 444 s) and 0.73 % (`long`), seed 0; the others were not run.
Cost: `short` is meant for 15 minutes on 2 CPU cores, `long` for 40, `paper` for days.
"""

from stn_tf.paper.schedules import PAPER_SCHEDULE, adam_schedule
from stn_tf.recipe import Experiment

_SHORT_STEPS = {"r": 1500, "rts": 4000, "p": 2000, "e": 2000, "tc": 1200}
_LONG_STEPS = {"r": 8000, "rts": 9000, "p": 8000, "e": 8000, "tc": 4800}

EXPERIMENTS = {
    f"mnist-{distortion}": Experiment(
        settings={
            "source": "mnist",
            "distortion": distortion,
            "model": "st-cnn-affine",
            # Appendix A.4: where the canvas is larger than the digit.
            "pool_crops": distortion in ("rts", "tc"),
        },
        schedules={
            "short": adam_schedule(_SHORT_STEPS[distortion], learning_rate=3e-3),
            "long": adam_schedule(_LONG_STEPS[distortion], learning_rate=3e-3),
            "paper": PAPER_SCHEDULE,
        },
    )
    for distortion in ("r", "rts", "p", "e", "tc")
}
