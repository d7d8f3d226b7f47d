"""The route that makes, shows and revokes a user's private calendar link."""

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api.fields import MomentField
from armo.common.api.views import ApiView
from scheduling.ical.feed import calendar_url
from scheduling.ical.tokens import find_link, make_calendar_link, revoke_calendar_link


class CalendarOutput(serializers.Serializer[Any]):
    """Whether the user has a calendar link. Only a digest of its address is stored."""

    has_link = serializers.BooleanField()
    created_at = MomentField(allow_null=True)
    last_read_at = MomentField(
        allow_null=True, help_text="When a program last read it, to the hour."
    )


class NewCalendarOutput(serializers.Serializer[Any]):
    """A new calendar link. It is shown only once; anyone who has it can read the calendar."""

    url = serializers.URLField()


@extend_schema(tags=["calendar"])
class CalendarView(ApiView):
    """The user's own calendar link."""

    permission_classes = (IsAuthenticated,)
    is_repeatable = False  # a stored response would store the secret

    @property
    def user(self) -> User:
        """Return the person who has signed in."""
        user = self.request.user
        assert user.is_authenticated
        return user

    @extend_schema(operation_id="get_calendar_link", responses={200: CalendarOutput})
    def get(self, request: Request) -> Response:
        """Read whether there is a link, and when it was last used."""
        link = find_link(self.user)
        data = {
            "has_link": link is not None,
            "created_at": link and link.created_at,
            "last_read_at": link and link.last_read_at,
        }
        return Response(CalendarOutput(data).data)

    @extend_schema(
        operation_id="create_calendar_link", request=None, responses={201: NewCalendarOutput}
    )
    def post(self, request: Request) -> Response:
        """Make a new link; the one before stops working."""
        url = calendar_url(make_calendar_link(self.user))
        return Response(NewCalendarOutput({"url": url}).data, status=201)

    @extend_schema(operation_id="revoke_calendar_link", responses={204: None})
    def delete(self, request: Request) -> Response:
        """Revoke the link."""
        revoke_calendar_link(self.user)
        return Response(status=204)
