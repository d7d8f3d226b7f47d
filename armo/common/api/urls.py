"""The routes that belong to no type of content, and the answer to unknown ones."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, path, re_path, resolve
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from armo.common.api import key_views, problems, tokens
from armo.common.api.docs import DocsView, ProblemsView, SchemaView


class PermanentRedirect(HttpResponseRedirect):
    """A redirect that keeps the method and the body."""

    status_code = 308


@csrf_exempt
def no_route(request: HttpRequest) -> HttpResponse:
    """Answer 404, or redirect to the route with a slash at the end."""
    if not request.path.endswith("/"):
        try:
            found = resolve(request.path + "/")
        except Resolver404:
            found = None
        if found and found.func is not no_route:
            query = request.META.get("QUERY_STRING", "")
            return PermanentRedirect(f"{request.path}/{'?' if query else ''}{query}")
    return problems.plain_answer(request, "not_found", _("There is no such route."))


urlpatterns = [
    path("auth/login/", tokens.LoginView.as_view(), name="login"),
    path("auth/logout/", tokens.LogoutView.as_view(), name="logout"),
    path("auth/tokens/", tokens.TokensView.as_view(), name="tokens"),
    path("auth/tokens/<str:key>/", tokens.TokenView.as_view(), name="token"),
    path("auth/keys/", key_views.KeysView.as_view(), name="keys"),
    path("auth/keys/<int:id>/", key_views.KeyView.as_view(), name="key"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="schema"), name="docs"),
    path("problems/", ProblemsView.as_view(), name="problems"),
]

rest = [re_path(r"", no_route)]
