"""stn-tf: trains spatial transformer networks in TensorFlow and takes them to production.

Importing this package does not import TensorFlow: the names below are loaded at first use.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# In a checkout `export/`, `serving/` and `cli/` stand beside `stn_tf/`; installed, inside it.
_CHECKOUT = Path(__file__).parent.parent
if (_CHECKOUT / "setup.cfg").is_file():
    __path__.append(str(_CHECKOUT))

# Public name -> module that defines it.
_PUBLIC = {
    "SpatialTransformer": "stn_tf.layers",
    "affine_grid": "stn_tf.geometry",
    "affine_grid_3d": "stn_tf.geometry",
    "attention_grid": "stn_tf.geometry",
    "compose": "stn_tf.geometry",
    "corners_pixels": "stn_tf.geometry",
    "grid_sample": "stn_tf.sampling",
    "identity": "stn_tf.geometry",
    "inverse": "stn_tf.geometry",
    "native_sampler": "stn_tf.sampling",
    "projective_grid": "stn_tf.geometry",
    "similarity_grid": "stn_tf.geometry",
    "thin_plate_spline_grid": "stn_tf.geometry",
    "warp": "stn_tf.sampling",
    "StnError": "stn_tf.errors",
}
__all__ = [
    "SpatialTransformer",
    "StnError",
    "__version__",
    "affine_grid",
    "affine_grid_3d",
    "attention_grid",
    "compose",
    "corners_pixels",
    "grid_sample",
    "identity",
    "inverse",
    "native_sampler",
    "projective_grid",
    "similarity_grid",
    "thin_plate_spline_grid",
    "warp",
]

if TYPE_CHECKING:
    from stn_tf.errors import StnError
    from stn_tf.geometry import (
        affine_grid,
        affine_grid_3d,
        attention_grid,
        compose,
        corners_pixels,
        identity,
        inverse,
        projective_grid,
        similarity_grid,
        thin_plate_spline_grid,
    )
    from stn_tf.layers import SpatialTransformer

    # mypy 2.3 takes these for the modules of the same names.
    from stn_tf.sampling import grid_sample, native_sampler, warp  # type: ignore[no-redef]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
