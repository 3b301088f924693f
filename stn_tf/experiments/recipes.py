"""Which recipe makes a model and data of which settings."""

from stn_tf.experiments.images_recipe import ImagesRecipe
from stn_tf.paper.addition import AdditionRecipe
from stn_tf.paper.colocalisation import ColocalisationRecipe
from stn_tf.paper.recipe import PaperRecipe
from stn_tf.paper.volumes import VolumesRecipe
from stn_tf.recipe import ExperimentConfig, Recipe

_RECIPES: tuple[Recipe, ...] = (
    PaperRecipe(),
    AdditionRecipe(),
    ColocalisationRecipe(),
    VolumesRecipe(),
    ImagesRecipe(),
)


def recipe_of(config: ExperimentConfig) -> Recipe:
    """Returns the recipe of settings."""
    return next(recipe for recipe in _RECIPES if isinstance(config, recipe.Config))
