"""The third kind of job."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from scheduling.errors import Why
from scheduling.models import Schedulable, Status, Transition
from scheduling.models.transitions import InvalidParams


class Archive(Transition):
    """Archive an item: it is unpublished, and its body replaced by a last word."""

    name = "archive"
    label = "archive"
    summary = "Archive: %(title)s"
    legend = "is archived"
    scheduled_from = (Status.SCHEDULED, Status.PUBLISHED, Status.UNPUBLISHED)
    runs_from: ClassVar[Collection[str]] = (Status.PUBLISHED, Status.UNPUBLISHED)
    leads_to = Status.UNPUBLISHED

    def problems(self, row: Schedulable) -> list[Why]:
        return ["It is to stay."] if str(row) == "forever" else []

    def ready(self, model: type[Schedulable]) -> Any:
        from django.db.models import Q

        return ~Q(title="forever")

    def check_params(self, params: Mapping[str, Any]) -> None:
        if not isinstance(params.get("last_word", ""), str):
            raise InvalidParams

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().changes(at=at, params=params), "body": params["last_word"]}
