"""The HTTP application: one model, its addresses, its errors, its OpenAPI page."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.security import HTTPBearer

from danlu import __version__
from danlu.core.asked import text_of
from danlu.core.tasks import TaskName
from danlu.engines.answers import ANSWERS
from danlu.engines.base import Form
from danlu.serve import embeddings as vectors
from danlu.serve import forms, openai
from danlu.serve.checks import addresses, check_asked, check_task, check_texts
from danlu.serve.config import ServeConfig
from danlu.serve.door import Door
from danlu.serve.errors import ApiError, install
from danlu.serve.keys import Keys
from danlu.serve.live import Live, Served
from danlu.serve.page import docs_page

_DESCRIPTION = """One released model, served exactly as it was tested.

{answers} Every error has OpenAI's form too. Status 429 means that too much is waiting: try again after the seconds in
`Retry-After`.
"""
_ANSWERS = {
    "generate": "`/v1/chat/completions` and `/v1/completions` answer in OpenAI's form, so that its clients work.",
    "embed": "`/v1/embeddings` answers in OpenAI's form, so that its clients work.",
    "fill": "`/v1/predict` takes texts in which words are hidden by `[MASK]` (or `<mask>`, as the model has it).",
}
#: What `/v1/predict` says of what the batcher brings, by task.
_TOLD: dict[TaskName, Callable[[Any, Form], dict[str, Any]]] = {
    **{task: answer.told for task, answer in ANSWERS.items()},
    "fill": lambda filled, _form: filled.told(),
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": forms.ErrorAnswer, "description": "The request cannot be answered as it is; the message says why."},
    401: {"model": forms.ErrorAnswer, "description": "The API key is missing or wrong."},
    413: {"model": forms.ErrorAnswer, "description": "The body is too large."},
    429: {"model": forms.ErrorAnswer, "description": "Too much is waiting; try again after `Retry-After` seconds."},
}
_STREAM = {"text/event-stream": {"schema": {"type": "string"}, "example": 'data: {"choices": ...}\n\ndata: [DONE]\n\n'}}


def create_app(live: Live, config: ServeConfig, keys: Keys | None) -> FastAPI:
    """The application that answers with `live`; `keys` None asks for no key.

    Its lifespan follows the alias and frees the models at the end.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        live.start()
        yield
        await live.stop()

    app = FastAPI(
        title=f"Danlu: {live.name}",
        version=__version__,
        description=_DESCRIPTION.format(answers=_ANSWERS.get(live.current.form.task, "`/v1/predict` takes texts.")),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its script from the internet
        redoc_url=None,
    )
    install(app)
    app.add_middleware(Door, keys=keys, max_body_bytes=config.max_body_bytes)
    _add_docs(app)
    _add_health(app, live)
    _add_models(app, live, keys)
    _add_answers(app, live, config, keys)
    return app


def _guarded(keys: Keys | None) -> list[Any]:
    """Shows on the OpenAPI page that a key is needed; `Door` is what asks for it."""
    return [] if keys is None else [Depends(HTTPBearer(auto_error=False, description="The API key."))]


def _add_docs(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        """Whoever opens the address in a browser wants to know what can be asked here."""
        return RedirectResponse("docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi(), str(request.base_url)))


def _add_health(app: FastAPI, live: Live) -> None:
    @app.get("/healthz", tags=["health"], summary="Is the process alive?")
    async def healthz() -> forms.Health:
        return forms.Health()

    @app.get("/readyz", tags=["health"], summary="Which version answers?")
    async def readyz() -> forms.Ready:
        number = live.current.version.number
        # Anyone may ask this: the details, which name files of this machine, are in the log alone.
        problem = f"A newer version cannot be loaded; version {number} goes on. The server's log says why."
        return forms.Ready(model=live.name, version=number, problem=live.problem and problem)


def _add_models(app: FastAPI, live: Live, keys: Keys | None) -> None:
    guarded = _guarded(keys)

    @app.get("/v1/models", tags=["models"], summary="The model that answers", dependencies=guarded)
    async def models() -> forms.ModelList:
        return forms.ModelList(data=[_card(live.current)])

    @app.get("/v1/models/{name}", tags=["models"], summary="One model", dependencies=guarded)
    async def model(name: str) -> forms.ModelCard:
        _check_model(live, name)
        return _card(live.current)


def _add_answers(app: FastAPI, live: Live, config: ServeConfig, keys: Keys | None) -> None:
    common: dict[str, Any] = {"dependencies": _guarded(keys), "responses": _ERRORS}
    # Every address answers, if only with where to go instead; the page offers those that this model has.
    own = addresses(live.current.form.task)

    @app.post(
        "/v1/predict",
        include_in_schema="/v1/predict" in own,
        tags=["answers"],
        summary="Label texts, give them a number, or fill in their hidden words",
        response_model=forms.PredictAnswer
        | forms.TagAnswer
        | forms.ValueAnswer
        | forms.FillAnswer
        | forms.PredictAnswers
        | forms.TargetsAnswer,
        **common,
    )
    async def predict(body: forms.PredictRequest) -> Response:
        """One `text` is answered with its label, labels, value or hidden words, or with each of its targets by its
        name; several `texts` with `predictions`.

        What a model is asked beside a text, a second one (`pair`) or `columns`, is listed at /v1/models.
        """
        _check_model(live, body.model)
        return await _predict(live, config, body)

    @app.post(
        "/v1/embeddings",
        tags=["answers"],
        summary="Embed texts",
        response_model=vectors.EmbeddingsAnswer,
        include_in_schema="/v1/embeddings" in own,
        **common,
    )
    async def embeddings(body: vectors.EmbeddingsRequest) -> Response:
        """OpenAI's embeddings: a vector of length 1 for each text of `input`, in their order."""
        _check_model(live, body.model)
        return await vectors.embeddings(live, config, body)

    writes = "/v1/completions" in own
    streams = {**common, "include_in_schema": writes, "responses": {**_ERRORS, 200: {"content": _STREAM}}}

    @app.post(
        "/v1/completions", tags=["answers"], summary="Continue a text", response_model=forms.Completion, **streams
    )
    async def completions(request: Request, body: forms.CompletionRequest) -> Response:
        """OpenAI's completions, whole or with `stream` as server-sent events."""
        _check_model(live, body.model)
        return await openai.completions(live, config, request, body)

    @app.post("/v1/chat/completions", tags=["answers"], summary="Continue a chat", response_model=forms.Chat, **streams)
    async def chat(request: Request, body: forms.ChatRequest) -> Response:
        """OpenAI's chat completions, whole or with `stream` as server-sent events.

        The prompt is made by the model's chat template. A model without one gets the contents of the messages, a
        line each, and continues the last.
        """
        _check_model(live, body.model)
        return await openai.chat(live, config, request, body)


async def _predict(live: Live, config: ServeConfig, body: forms.PredictRequest) -> Response:
    asked = body.asked
    check_texts([text_of(question) for question in asked], config, "texts" if body.text is None else "text")
    with live.use() as served:
        check_task(served, *_TOLD)
        check_asked(served, asked, config)
        told = _TOLD[served.form.task]
        rows = await served.batcher.predict(asked)
    predictions = [told(row, served.form) for row in rows]
    about = {"model": served.name, "version": served.version.number}
    return JSONResponse({**about, **(predictions[0] if body.text is not None else {"predictions": predictions})})


def _check_model(live: Live, name: str | None) -> None:
    if name is not None and name != live.name:
        raise ApiError(404, "model_not_found", f"There is no model {name!r} here, only {live.name!r}.", "model")


def _card(served: Served) -> forms.ModelCard:
    return forms.ModelCard(
        id=served.name,
        created=int(datetime.datetime.fromisoformat(served.version.created).timestamp()),
        version=served.version.number,
        task=served.form.task,
        form=served.form.name,
        labels=None if served.form.labels is None else list(served.form.labels),
        takes=None if served.form.takes.text_alone else served.form.takes.as_json(),
    )
