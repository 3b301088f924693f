"""A picture like the paper's: inputs, where the transformers look, and what they make of them."""

from pathlib import Path

import numpy as np

from stn_tf.errors import StnError
from stn_tf.experiments.reproduction.results import Results
from stn_tf.experiments.reproduction.runner import run_folder

_IMAGES = 4


def write_picture(results: Results, out: Path) -> Path | None:
    """Draws some test images of each column, as its best network with a transformer sees them.

    Returns:
        `out/TABLE.png`; None where no run with a transformer is in `out`, finished and undeleted.
    """
    from stn_tf import plots
    from stn_tf.experiments.run import Run
    from stn_tf.experiments.views import picture_images

    images, corners, crops, captions = [], [], [], []
    for column in results.table.columns:
        cells = [cell for cell in results.table.cells if cell.column == column]
        found = [
            (outcome.figure, cell, outcome)
            for cell in cells
            for outcome in results.outcomes
            if outcome.cell == cell.name
            and outcome.variant != "sanity"
            and "st-" in str(cell.settings.get("model", ""))
        ]
        found.sort(key=lambda each: each[0], reverse=results.table.higher_is_better)
        for _, cell, outcome in found:
            folder = run_folder(out, cell, outcome.variant, outcome.seed)
            if not folder.is_dir():
                continue
            try:
                run = Run(folder)
                inputs = next(iter(run.dataset("test")))[0][:_IMAGES]
                pictures = picture_images(run.load_model(), inputs, run.interface)
            except StnError:
                continue
            for picture in pictures:
                views = [view for view in picture.views if view.of_image] or picture.views
                if not views or picture.image is None:
                    continue
                images.append(picture.image)
                corners.append(np.concatenate([view.corners for view in views])[:2])
                crops.append(np.concatenate([view.crops for view in views])[:2])
                captions.append(cell.name)
            break
    if not images:
        return None
    most = max(len(each) for each in corners)
    kept = [index for index, each in enumerate(corners) if len(each) == most]
    figure = plots.overlay_figure(
        [images[i] for i in kept],
        np.stack([corners[i] for i in kept]),
        [crops[i] for i in kept],
        captions=[captions[i] for i in kept],
        columns=_IMAGES,
    )
    return plots.save_figure(figure, out / f"{results.table.name}.png")
