"""Calling operations for a person, and telling how it went."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from armo.errors import DomainError
from scheduling.admin.buttons import Action
from scheduling.admin.columns import Text
from scheduling.admin.forms import ReasonForm
from scheduling.models import Job

TITLES_SHOWN = 5


def posted(
    view: Callable[..., HttpResponse], back: Callable[..., str]
) -> Callable[..., HttpResponse]:
    """
    Return a view that takes a button's POST, and sends on whoever opens its address.

    That is who was signed out when he pressed it: signing in leads him there.

    :param back: makes the address of the page that has the button, of the row's number.
    """

    def view_or_back(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return redirect(back(**{name: kwargs[name] for name in ("pk",) if name in kwargs}))
        return require_POST(view)(request, **kwargs)

    return view_or_back


def carry_out(
    request: HttpRequest, form: ReasonForm, action: Action, operation: Callable[..., Job]
) -> bool:
    """
    Call an operation with what was filled in, and tell the person that it is done.

    :returns: whether it is; if not, the form says why.
    """
    if not form.is_valid():
        return False
    try:
        job = operation(by=request.user, **form.wish())
    except DomainError as refusal:
        form.add_error(None, str(refusal))
        return False
    messages.success(request, str(action.says(job)))
    return True


def tell(request: HttpRequest, label: Text, done: str, refused: dict[str, list[str]]) -> None:
    """Tell for how many something was done, and of which it was refused, and why."""
    if done:
        messages.success(request, f"{label}: {done}")
    for reason, titles in refused.items():
        shown = ", ".join(f"“{title}”" for title in titles[:TITLES_SHOWN])
        more = len(titles) - TITLES_SHOWN
        if more > 0:
            shown += ngettext(" and %(count)d more", " and %(count)d more", more) % {"count": more}
        messages.error(request, f"{label}: {shown}: {reason}")
