"""The exported model and the images of the serving tests, for the commands that use them."""

from tests.serving.conftest import folder, images, model, model_dir

__all__ = ["folder", "images", "model", "model_dir"]
