"""Application factory, lifespan and OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute

from ..db import Database
from ..db.base import import_submodules
from ..health import database_checks, run_checks
from . import errors
from .logs import count_statements
from .middleware import RequestLimitsMiddleware, RequestLogMiddleware
from .settings import ApiSettings

PACKAGE = __name__.partition(".")[0]

DOCS_POLICY = (
    "default-src https://cdn.jsdelivr.net 'unsafe-inline'; connect-src 'self';"
    " img-src 'self' data: https://fastapi.tiangolo.com; frame-ancestors 'none'"
)
"""Content-Security-Policy of `/docs`, which loads Swagger UI from a CDN."""

app: FastAPI
"""Application for `uvicorn`, `fastapi dev` and `fastapi run`, created on first access."""


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app())


def __dir__() -> list[str]:
    # The FastAPI command line looks for `app` here.
    return sorted({*globals(), "app"})


class Api(FastAPI):
    """FastAPI with problem documents in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            _document_problems(super().openapi())
        return super().openapi()


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """Create the application; the database is opened when it starts.

    Includes the `router` of every module in `routes/`, and of a `routes.py` in any
    other package. `app.state` has `settings`, `database` and `checks`, to which a
    router's lifespan may add.

    Args:
        settings: Settings; read from the environment if omitted.
    """
    settings = settings or ApiSettings()
    app = Api(
        **_package_metadata(),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.api_docs else None,
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    if settings.api_docs:
        app.add_api_route("/docs", _swagger_ui, include_in_schema=False)
    errors.add_exception_handlers(app)
    # Middleware added last runs first.
    app.add_middleware(
        RequestLimitsMiddleware,
        max_body=settings.api_max_body,
        timeout=settings.api_timeout,
    )
    app.add_middleware(RequestLogMiddleware)
    for module in import_submodules(PACKAGE, "routes"):
        if hasattr(module, "router"):
            app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Database(app.state.settings) as database:
        app.state.database = database
        app.state.checks = database_checks(database)
        # A failed check is logged and does not prevent the start: /health/ready
        # reports when the database has recovered.
        await run_checks(app.state.checks)
        with count_statements(database):
            yield


def _package_metadata() -> dict[str, Any]:
    """Return title, version and summary for the OpenAPI document."""
    title = {"title": PACKAGE.replace("_", " ").title()}
    try:
        package = metadata(PACKAGE)
    except PackageNotFoundError:
        return title
    return title | {"version": package["Version"], "summary": package["Summary"]}


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _swagger_ui(request: Request) -> Response:
    url = request.scope.get("root_path", "") + "/openapi.json"
    page = get_swagger_ui_html(openapi_url=url, title=request.app.title)
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


def _document_problems(document: dict[str, Any]) -> None:
    """Replace FastAPI's default error schemas with problem documents."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = errors.Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "422" in responses:
                responses["422"] = errors.response_schema("Invalid request")
            responses["default"] = errors.response_schema("Unexpected error")
