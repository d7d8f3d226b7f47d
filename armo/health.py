"""Routes that monitors ask."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 while this web process can answer at all; it looks at nothing else."""
    return JsonResponse({"status": "ok"})
