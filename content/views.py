"""What readers see: live stories and notices, and nothing else."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from content import markdown
from content.models import Notice, Story

STORIES_PER_PAGE = 20
NOTICES_SHOWN = 10


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    """Show the live notices, and a page of the live stories, the newest first."""
    stories = Story.objects.published().order_by("-published_at", "-pk").defer("body", "extra")
    notices = Notice.objects.published().order_by("-published_at", "-pk")[:NOTICES_SHOWN]
    context = {
        "page": Paginator(stories, STORIES_PER_PAGE).get_page(request.GET.get("page")),
        "notices": [(notice, markdown.render(notice.body)) for notice in notices],
    }
    return render(request, "content/front_page.html", context)


@require_safe
def story_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a live story; any other is not found, as if it did not exist."""
    if "\x00" in slug:  # PostgreSQL refuses it in a text
        raise Http404
    story = get_object_or_404(Story.objects.published(), slug=slug)
    context = {"story": story, "body": markdown.render(story.body)}
    return render(request, "content/story_page.html", context)
