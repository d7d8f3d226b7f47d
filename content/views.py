"""The public pages: live stories and notices, and nothing else."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from content.markdown.cleaning import with_ids_of_its_own
from content.models import Notice, Rendered, Story
from scheduling.access.preview_links import NoSuchPreview, PreviewExpired, find_previewed

STORIES_PER_PAGE = 20
# To count and to skip rows costs the more the deeper a page is. Older stories are read at their own
# addresses, and page by page in the API, which goes by keys.
MOST_STORIES_IN_PAGES = 500 * STORIES_PER_PAGE
NOTICES_SHOWN = 10


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    """Show the live notices, and a page of the live stories, the newest first."""
    stories = Story.objects.published().order_by("-published_at", "-pk").defer("body", "extra")
    notices = list(Notice.objects.published().order_by("-published_at", "-pk")[:NOTICES_SHOWN])
    html = Rendered.objects.html_of(notice.body for notice in notices)
    context = {
        "page": Paginator(stories[:MOST_STORIES_IN_PAGES], STORIES_PER_PAGE).get_page(
            request.GET.get("page")
        ),
        "notices": [
            (notice, with_ids_of_its_own(html[notice.body], f"notice-{notice.pk}-"))
            for notice in notices
        ],
    }
    return render(request, "content/front_page.html", context)


@require_safe
def story_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a live story; answer 404 for any other."""
    if "\x00" in slug:  # PostgreSQL accepts no NUL
        raise Http404
    story = get_object_or_404(Story.objects.published(), slug=slug)
    context = {"story": story, "body": Rendered.objects.html(story.body)}
    return render(request, "content/story_page.html", context)


@csrf_exempt  # a refusal would log the path, and there is nothing to forge
def preview(request: HttpRequest, token: str, mistyped: str = "") -> HttpResponse:
    """Show a preview of an item to anybody with the link; redirect to its page if it is live."""
    # Django logs the path of a request that is refused or fails: here it contains a secret.
    request.path = request.path_info = "/preview/"
    if mistyped:
        raise Http404
    return _preview(request, token)


@require_safe
def _preview(request: HttpRequest, token: str) -> HttpResponse:
    try:
        item = find_previewed(token)
    except (PreviewExpired, NoSuchPreview) as refusal:
        status = 410 if isinstance(refusal, PreviewExpired) else 404
        response = render(request, "content/no_preview.html", {"refusal": refusal}, status=status)
        return _private(response)
    context: dict[str, object]
    if isinstance(item, Story):
        if item.is_published:
            return _private(redirect(item))
        # With the date on which it will go live.
        item.published_at = item.publish_at or item.updated_at
        template, context = "content/story_page.html", {"story": item}
    elif isinstance(item, Notice):
        if item.is_published:
            return _private(redirect("front-page"))
        template, context = "content/notice_preview.html", {"notice": item}
    else:
        raise Http404
    context |= {"body": Rendered.objects.html(item.body), "previewed": item}
    return _private(render(request, template, context))


def _private(response: HttpResponse) -> HttpResponse:
    """Keep the answer out of caches, search engines and the Referer header."""
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    response["Referrer-Policy"] = "no-referrer"
    return response
