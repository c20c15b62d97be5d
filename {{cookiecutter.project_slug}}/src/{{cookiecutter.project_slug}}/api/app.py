"""The application: what it is made of, and what lives as long as it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute

from .. import parts
from ..database import Database
from . import checks, logs, problems
from .middleware import Access, Limits
from .settings import ApiSettings

NAME = __name__.partition(".")[0]

DOCS_POLICY = (
    "default-src https://cdn.jsdelivr.net 'unsafe-inline'; connect-src 'self';"
    " img-src 'self' data: https://fastapi.tiangolo.com; frame-ancestors 'none'"
)
"""What the page of documents may load: it comes with a script from outside."""


class Api(FastAPI):
    """FastAPI, whose OpenAPI document describes errors as they are."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            _describe_problems(super().openapi())
        return super().openapi()


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """Make the application; it opens nothing before it is started.

    Each `router` in `routes/`, and in a `routes.py` of another package, is served. It
    finds `app.state.database`, `app.state.settings` and, to add to, `app.state.checks`.

    Args:
        settings: The settings; those of the environment if not given.
    """
    settings = settings or ApiSettings()
    app = Api(
        **_about(),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.api_docs else None,
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    if settings.api_docs:
        app.add_api_route("/docs", _show_docs, include_in_schema=False)
    problems.install(app)
    # The last one is the outermost.
    app.add_middleware(
        Limits, max_body=settings.api_max_body, timeout=settings.api_timeout
    )
    app.add_middleware(Access)
    for module in parts.load("routes"):
        if hasattr(module, "router"):
            app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Database(app.state.settings) as database:
        app.state.database = database
        app.state.checks = checks.of_database(database)
        # Start in any case, and say in the log what has to come: it may come.
        await checks.run(app.state.checks)
        with logs.counting_statements(database):
            yield


def _about() -> dict[str, Any]:
    """Return how the document calls the application."""
    about = {"title": NAME.replace("_", " ").title()}
    try:
        found = metadata(NAME)
    except PackageNotFoundError:
        return about
    return about | {"version": found["Version"], "summary": found["Summary"]}


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _show_docs(request: Request) -> Response:
    address = request.scope.get("root_path", "") + "/openapi.json"
    page = get_swagger_ui_html(openapi_url=address, title=request.app.title)
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


def _describe_problems(document: dict[str, Any]) -> None:
    """Put problem documents in the place of what FastAPI describes for errors."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = problems.Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "422" in responses:
                responses["422"] = problems.description("The request is not valid")
            responses["default"] = problems.description("Any other problem")
