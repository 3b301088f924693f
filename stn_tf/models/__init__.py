"""Networks by name.

build_network    an untrained network of an experiment family
NETWORKS         their names
"""

from stn_tf.models.distorted_mnist import NETWORKS, PARAMETER_BUDGET, build_network

__all__ = ["NETWORKS", "PARAMETER_BUDGET", "build_network"]
