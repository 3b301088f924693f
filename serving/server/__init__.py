"""A server on one machine that speaks TensorFlow Serving's protocol over gRPC and REST."""
