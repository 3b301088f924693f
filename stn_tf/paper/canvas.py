"""The distortions' names, and the size of the canvas that each one fills."""

# The side of the canvas for images of 28x28, the size that the paper's pixel amounts refer to.
REFERENCE = 28
_SIDES = {"none": 28, "r": 28, "rts": 42, "p": 28, "e": 28, "tc": 60}
DISTORTIONS = tuple(_SIDES)


def canvas_size(distortion: str, size: tuple[int, int]) -> tuple[int, int]:
    """Returns the height and width in pixels of what `distortion` makes of images of `size`.

    Raises:
        ValueError: If there is no such distortion.
    """
    if distortion not in _SIDES:
        raise ValueError(
            f"`distortion` must be one of {', '.join(DISTORTIONS)}, but it is {distortion!r}."
        )
    height, width = (round(extent * _SIDES[distortion] / REFERENCE) for extent in size)
    return height, width
