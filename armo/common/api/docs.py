"""The API's documentation: the OpenAPI document, its pages, and the list of problems."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from csp.decorators import csp
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.addresses import absolute
from armo.common.api.problems import CODES
from armo.common.api.views import ApiView
from armo.common.headers import PAGE_WITH_SCRIPTS


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document; built once a process, as it takes a second."""
    generator: Any = spectacular_settings.DEFAULT_GENERATOR_CLASS
    found: dict[str, Any] = generator().get_schema(request=None, public=True)
    return found


class SchemaView(ApiView, SpectacularAPIView):
    """The OpenAPI document as YAML or JSON."""

    renderer_classes = [OpenApiYamlRenderer, OpenApiJsonRenderer, JSONRenderer]  # noqa: RUF012 (as its base has it)

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the document."""
        return Response(document())


# Its script has the reader's CSRF token.
@method_decorator([cache_control(no_store=True), csp(PAGE_WITH_SCRIPTS)], name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The OpenAPI document as pages; with `?script`, what starts them."""

    template_name = "api/docs.html"

    def options(  # type: ignore[override]  # a Response would be made into a page
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Answer with the methods in `Allow`, and without a body."""
        return HttpResponse(status=204)


@extend_schema(exclude=True)
class ProblemsView(ApiView):
    """The codes of problems."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @property
    def is_translated(self) -> bool:
        """Whether there are texts: what the codes mean."""
        return True

    def get(self, request: Request) -> Response:
        """List every code, its status and what it means."""
        rows = [
            {"code": code, "status": int(status), "title": str(title)}
            for code, (status, title) in CODES.items()
        ]
        return Response({"problems": rows})


@extend_schema(exclude=True)
class IndexView(ApiView):
    """The root of the API: where everything begins."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    # Relative to the root.
    paths: Sequence[str] = ()

    def get(self, request: Request) -> Response:
        """List the addresses of the routes that need no id, by their paths."""
        root = absolute(request, request.path)
        return Response({path.rstrip("/"): root + path for path in self.paths})
