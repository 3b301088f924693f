"""The models of `serving.py` in LitServe: one worker each, reached by queues over ZeroMQ."""

from typing import Any

import litserve
import litserve.server
from serving_peers import Model, arguments
from starlette.requests import Request
from starlette.responses import Response


class Api(litserve.LitAPI):
    """Bytes to a model's answer."""

    def __init__(self, name: str, *model: Any) -> None:
        super().__init__(api_path=f"/{name}")
        self._arguments = model

    def setup(self, device: str) -> None:
        """Loads the model in its worker."""
        self._model = Model(*self._arguments)

    def decode_request(self, request: Request) -> Any:
        """Reads what `_whole_body` returned."""
        return self._model.decode(*request)

    def predict(self, images: Any) -> bytes:
        """Computes the outputs."""
        return self._model.answer(images)

    def encode_response(self, answer: bytes) -> Response:
        """Sends JSON as it is."""
        return Response(answer, media_type="application/json")


async def _whole_body(handler: Any, request: Request, kind: Any) -> tuple[str, bytes]:
    return request.headers["content-type"], await request.body()


def main() -> None:
    """Serves until it is killed."""
    # LitServe 0.2 takes only JSON and forms, and pickles their values for the worker. Bytes are
    # faster, so it is given them.
    litserve.server.BaseRequestHandler._prepare_request = _whole_body
    port, models = arguments()
    apis = [Api(name, *model) for name, model in models.items()]
    server = litserve.LitServer(apis, accelerator="cpu", fast_queue=True)
    # Connections are kept for as long as the client rests.
    kept = {"timeout_keep_alive": 600}
    server.run("127.0.0.1", port, log_level="error", generate_client_file=False, **kept)


if __name__ == "__main__":
    main()
