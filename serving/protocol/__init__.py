"""TensorFlow Serving's protocol, without TensorFlow: for the server and for clients.

`messages` has the message classes, `tensors` turns `TensorProto` into arrays, `call` and `wire`
read and write Predict; `rest_body`, `rest_examples` and `rest_messages` do the JSON of REST. What
is refused is refused by a `Status`.
"""

from stn_tf.serving.protocol.call import predict_call, read_answer, read_call
from stn_tf.serving.protocol.signature import Signature, TensorSpec
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.tensors import to_array, to_proto
from stn_tf.serving.protocol.wire import (
    PredictAnswer,
    PredictCall,
    read_predict,
    write_predict,
    write_request,
)

__all__ = [
    "PredictAnswer",
    "PredictCall",
    "Signature",
    "Status",
    "TensorSpec",
    "predict_call",
    "read_answer",
    "read_call",
    "read_predict",
    "to_array",
    "to_proto",
    "write_predict",
    "write_request",
]
