"""What training on anybody's images would see, without training."""

from pathlib import Path
from typing import TYPE_CHECKING

from stn_tf.errors import ConfigError
from stn_tf.experiments.hooks import is_hook
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.experiments.images_recipe import ImagesRecipe
from stn_tf.recipe import ExperimentConfig

if TYPE_CHECKING:
    from stn_tf.data.augmentation_preview import Preview


def preview_images(
    config: ExperimentConfig, *, images: int = 6, versions: int = 6
) -> "tuple[Preview, tuple[str, ...], str]":
    """Returns some training images as evaluation and as training see them.

    Args:
        config: As for `train`, of the recipe `images`.
        images: How many.
        versions: How often each is augmented.

    Returns:
        The images; the names of the classes; and the line that says what is done to images.

    Raises:
        ConfigError: If the settings are of another recipe, or their data is a function's.
        DataError: If the images cannot be read.
    """
    if not isinstance(config, ImagesConfig) or is_hook(config.data):
        raise ConfigError(
            "`data` must be a folder, a table or shards of images, but these settings have data "
            "of their own, which are not augmented here."
        )
    from stn_tf import data
    from stn_tf.data.augmentation import Augmentation
    from stn_tf.data.augmentation_preview import preview

    # Nothing is kept of so few images.
    prepared = ImagesRecipe().prepare(config.model_copy(update={"cache": "none"}))
    decided = prepared.config
    collection = data.load_collection(
        Path(decided.data_dir),
        kind=decided.data,
        validation_share=decided.validation_share,
        test_share=decided.test_share,
    )
    augmentation = Augmentation.of(decided.augment)
    shown = preview(
        collection.train,
        prepared.interface.image,
        augmentation,
        images=images,
        versions=versions,
        seed=decided.seed,
    )
    return shown, collection.classes, augmentation.summary()
