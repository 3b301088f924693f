"""The `st-cnn-affine` network in PyTorch, for `training_step.py`."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    """Localisation, affine transformer, two convolutions and a classifier."""

    def __init__(self, filters: int, features: int, units: int, classes: int) -> None:
        super().__init__()
        self.localisation = nn.ModuleList(
            [nn.Conv2d(1, 20, 5), nn.Conv2d(20, 20, 5), nn.Linear(features, units)]
        )
        self.theta = nn.Linear(units, 6)
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, filters, 9), nn.Conv2d(filters, filters, 7)]
        )
        self.logits = nn.Linear(filters, classes)

    @classmethod
    def like(cls, model: Any) -> "Network":
        """A network as wide as the Keras model."""
        dense = model.get_layer("spatial_transformer").localisation.get_layer("dense")
        features, units = dense.kernel.shape
        final = model.get_layer("logits")
        return cls(model.get_layer("conv_1").filters, features, units, final.units)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second, dense = self.localisation
        features = functional.avg_pool2d(images, 2)
        features = functional.max_pool2d(functional.relu(first(features)), 2)
        features = functional.relu(second(features)).flatten(1)
        theta = self.theta(functional.relu(dense(features))).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        crops = functional.grid_sample(images, grid, align_corners=False)
        crops = functional.avg_pool2d(crops, 2)
        for convolution in self.convolutions:
            # Pooling keeps the last row of an odd size, as "same" does in Keras.
            crops = functional.max_pool2d(functional.relu(convolution(crops)), 2, ceil_mode=True)
        return self.logits(crops.flatten(1))


def same_as(model: Any, network: Network) -> Network:
    """Copies the weights of the Keras model."""
    transformer = model.get_layer("spatial_transformer")
    localisation = transformer.localisation
    first, second, dense = network.localisation
    _convolution(localisation.get_layer("conv_1"), first)
    _convolution(localisation.get_layer("conv_2"), second)
    # Keras flattens channels last, torch channels first.
    kernel = np.asarray(localisation.get_layer("dense").kernel)
    side = round((kernel.shape[0] / 20) ** 0.5)
    kernel = kernel.reshape(side, side, 20, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    _copy(dense, kernel.T, localisation.get_layer("dense").bias)
    weights, bias = transformer.regression.trainable_variables
    _copy(network.theta, np.asarray(weights).T, bias)
    for name, convolution in zip(("conv_1", "conv_2"), network.convolutions, strict=True):
        _convolution(model.get_layer(name), convolution)
    _copy(
        network.logits,
        np.asarray(model.get_layer("logits").kernel).T,
        model.get_layer("logits").bias,
    )
    ours = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    theirs = sum(parameter.numel() for parameter in network.parameters())
    if ours != theirs:
        raise AssertionError(f"{ours} parameters here, {theirs} there")
    return network


def _convolution(layer: Any, convolution: nn.Module) -> None:
    _copy(convolution, np.asarray(layer.kernel).transpose(3, 2, 0, 1), layer.bias)


def _copy(module: nn.Module, weight: np.ndarray, bias: Any) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
        module.bias.copy_(torch.tensor(np.asarray(bias)))
