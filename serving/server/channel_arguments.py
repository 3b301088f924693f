"""gRPC's own settings: TensorFlow Serving's `--grpc_channel_arguments`."""

from stn_tf.errors import ConfigError


def channel_arguments(text: str) -> dict[str, int | str]:
    """Reads `KEY=VALUE,KEY=VALUE`; values that are 32-bit integers become such.

    Raises:
        ConfigError: If a part is not of that form.
    """
    found: dict[str, int | str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals:
            raise ConfigError(
                "`--grpc_channel_arguments` must be KEY=VALUE, separated by commas, but it holds "
                f"{part!r}."
            )
        found[key] = _value(value)
    return found


def _value(text: str) -> int | str:
    try:
        number = int(text)
    except ValueError:
        return text
    return number if -(2**31) <= number < 2**31 else text
