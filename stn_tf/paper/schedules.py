"""Bundles of the settings of `fit` that the paper's experiments share."""

from collections.abc import Mapping
from typing import Any

# Appendix A.4: 150k iterations of plain SGD, the rate divided by 10 every 50k of them.
PAPER_SCHEDULE: Mapping[str, Any] = {
    "steps": 150_000,
    "batch_size": 256,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "learning_rate_schedule": "step",
    "learning_rate_every": 50_000,
    "learning_rate_drop": 0.1,
    "warmup_steps": 0,
    "localisation_rate": 1.0,
    "weight_decay": 0.0,
    "log_every": 100,
    "evaluate_every": 5000,
    "checkpoint_every": 1000,
}


def adam_schedule(
    steps: int, *, batch_size: int = 256, optimizer: str = "adam", **settings: Any
) -> dict[str, Any]:
    """Returns a schedule of Adam with a short warm-up and a cosine to zero."""
    return {
        "steps": steps,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate_schedule": "cosine",
        "warmup_steps": min(100, steps // 10),
        "log_every": 10,
        "evaluate_every": max(steps // 8, 1),
        "checkpoint_every": max(min(steps // 8, 250), 1),
        **settings,
    }
