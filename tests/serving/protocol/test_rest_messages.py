"""Status and metadata print as the published classes print."""

import json

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.rest_messages import message_body


def test_metadata() -> None:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    info = signatures.signature_def["serving_default"].inputs["images"]
    info.dtype, info.name = 1, "images:0"
    info.tensor_shape.dim.add(size=-1)
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.metadata["signature_def"].Pack(signatures)
    answer.model_spec.name = "nét"
    answer.model_spec.version.value = 7
    ours = messages.GetModelMetadataResponse.FromString(answer.SerializeToString())
    printed = json.loads(message_body(ours))
    assert printed == json.loads(
        json_format.MessageToJson(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )
    assert printed["model_spec"] == {"name": "nét", "version": "7", "signature_name": ""}
    signature = printed["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["defaults"] == {}
    assert signature["inputs"]["images"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


def test_status() -> None:
    answer = messages.GetModelStatusResponse()
    answer.model_version_status.add(version=1, state=messages.State["AVAILABLE"])
    answer.model_version_status[0].status.SetInParent()
    assert json.loads(message_body(answer)) == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
