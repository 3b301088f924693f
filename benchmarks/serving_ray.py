"""The models of `serving.py` in Ray Serve: one replica each."""

import os
import time
from typing import Any

# Ray Serve's own settings for throughput, read on import: the application runs in the loop of its
# replica, and logs are written in blocks.
os.environ |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}

import ray
from ray import serve
from serving_peers import Model, arguments
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Answers:
    """Bytes to a model's answer."""

    def __init__(self, *model: Any) -> None:
        self._model = Model(*model)

    async def __call__(self, request: Request) -> Response:
        """Answers one request."""
        kind, body = request.headers["content-type"], await request.body()
        answer = self._model.answer(self._model.decode(kind, body))
        return Response(answer, media_type="application/json")


def main() -> None:
    """Serves until it is killed."""
    port, models = arguments()
    # Replicas are as nice as everybody else: 15 is the default.
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init(**quiet, _system_config={"worker_niceness": 0})
    serve.start(
        # Connections are kept for as long as the client rests.
        http_options={"host": "127.0.0.1", "port": port, "keep_alive_timeout_s": 600},
        logging_config={"enable_access_log": False},
    )
    for name, model in models.items():
        serve.run(Answers.bind(*model), name=name, route_prefix=f"/{name}")  # type: ignore[attr-defined]
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
