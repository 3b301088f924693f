"""Exported models on disk, and the engines that run them."""

from stn_tf.serving.models.directory import find_version, versions
from stn_tf.serving.models.engine import ENGINES, Engine, load_engine

__all__ = ["ENGINES", "Engine", "find_version", "load_engine", "versions"]
