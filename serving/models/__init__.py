"""Exported models on disk, and the engines that run them."""

from stn_tf.serving.models.directory import find_version, versions
from stn_tf.serving.models.engine import ENGINES, Engine, choose_engine, load_engine

__all__ = ["ENGINES", "Engine", "choose_engine", "find_version", "load_engine", "versions"]
