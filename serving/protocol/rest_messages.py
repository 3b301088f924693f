"""REST's answers that are messages: status and metadata."""

from typing import Any

from google.protobuf import json_format

from stn_tf.serving.protocol.messages import POOL


def message_body(message: Any) -> bytes:
    """Returns the JSON of a `GetModelStatusResponse` or `GetModelMetadataResponse`.

    64-bit integers are strings, names are those of the schema, and fields that are not set are
    printed with their defaults, as TensorFlow Serving does.
    """
    text = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=POOL,
        ensure_ascii=False,
    )
    return text.encode()
