"""Batch jobs over files.

predict          a row for each image: what the model's task says, theta, corners
find_inputs      the images in files, folders and arrays
"""

from stn_tf.serving.jobs.inputs import Batch, Inputs, find_inputs
from stn_tf.serving.jobs.predict import Summary, predict

__all__ = ["Batch", "Inputs", "Summary", "find_inputs", "predict"]
