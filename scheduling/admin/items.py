"""The admin of every type of content."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import JSONField, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_POST

from armo.accounts.history import HistoryOfAll
from armo.accounts.local_time import LocalTimeField, LocalTimeInput, choices
from armo.common.addresses import absolute
from armo.common.storable_json import StorableDecoder
from armo.common.theme import List, ModelAdmin
from scheduling import conf, operations
from scheduling.access.permissions import (
    has_right,
    has_right_to_jobs_of,
    may_change,
    may_delete,
    sees_all,
    visible_to,
)
from scheduling.access.preview_links import links_of, make_preview_token, may_share, revoke_links
from scheduling.admin import bulk
from scheduling.admin.actions import ACTIONS, Action, carry_out, posted, report
from scheduling.admin.display import badge, change_url, due_in, shown_time, time_column, times_asked
from scheduling.admin.edit_conflicts import SeenForm
from scheduling.admin.filters import DueFilter, LocalDates, StatusFilter
from scheduling.admin.live import live_rows, seconds_until_news
from scheduling.admin.panel import action_url_name, panel, when
from scheduling.admin.seen import Page, last_change_by, page_of
from scheduling.admin.unsaved import has_typed, not_saved
from scheduling.models import ClockNow, IsOneOf, Job, Schedulable, clock
from scheduling.models.references import parse_id, parse_ids

# Items asked about in one request; a page of a list has fewer.
MOST_WATCHED = 200
# Cancelled jobs named on the page that asks whether to delete.
MOST_NAMED = 50


class ItemList(List):
    """A list that does not read long texts."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return rows.defer(*self.model_admin.list_defer)  # type: ignore[attr-defined]


class ChosenRows(AutocompleteSelectMultiple):
    """Rows found by typing; it shows a form again that came with what is the id of none."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the chosen rows."""
        ids = [it for it in value if parse_id(str(it)) is not None]
        return super().optgroups(name, ids, attr)


# As the history of an item names it.
PREVIEW_LINK = gettext_noop("link to a preview")


class SchedulableAdmin(HistoryOfAll, LocalDates):
    """
    Base of the admin of every type of content.

    The form saves content only. Status and times are changed by the buttons beside it; each posts
    to a URL of its own and calls one operation.
    """

    form = SeenForm
    change_form_template = "scheduling/item_change_form.html"
    delete_confirmation_template = "scheduling/item_delete.html"
    delete_selected_confirmation_template = "scheduling/items_delete.html"
    list_before_template = "scheduling/item_list_head.html"
    list_display: Any = (
        "__str__",
        "status_badge",
        "goes_live",
        time_column(Schedulable, "unpublish_at"),
        time_column(Schedulable, "published_at"),
    )
    # The columns that an open page keeps up to date.
    live_columns = ("status_badge", "goes_live", "publish_at", "unpublish_at", "published_at")
    list_filter: ClassVar[Any] = (StatusFilter, DueFilter)
    list_filter_submit = True
    list_per_page = 50
    # Fields that a list does not read: long texts.
    list_defer: ClassVar[tuple[str, ...]] = ()
    # Counting all rows would cost a second scan.
    show_full_result_count = False
    date_hierarchy = "publish_at"
    ordering = ("-pk",)
    warn_unsaved_form = True
    # The view that shows the text in the form as readers would see it, if there is one.
    preview_text: Any = None
    # The name of the URL at which anybody with a link sees an item before it is live.
    preview_name: str | None = None
    actions: Any = (
        "schedule_selected",
        "shift_selected",
        "cancel_selected",
        "publish_selected",
        "unpublish_selected",
        "rerun_selected",
    )

    # Columns

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, item: Schedulable) -> str:
        return badge(item.status, item.get_status_display())

    @admin.display(description=_("goes live at"), ordering="publish_at")
    def goes_live(self, item: Schedulable) -> str:
        at = "-" if item.publish_at is None else shown_time(item.publish_at)
        now = item.clock_at  # type: ignore[attr-defined]  # by get_queryset
        return format_html("{}{}", at, due_in(item, now))

    # Permissions: Django asks for an item, and without one for the type as a whole.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        items: QuerySet[Any] = super().get_queryset(request)
        with_clock: QuerySet[Any] = visible_to(request.user, items).annotate(clock_at=ClockNow())
        return with_clock

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return super().has_change_permission(request)
        return may_change(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the person may delete the item; they need the right to change it, too."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or may_delete(request.user, obj))

    def has_schedule_permission(self, request: HttpRequest) -> bool:
        return has_right(request.user, "schedule", self.model)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return has_right(request.user, "publish", self.model)

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        return has_right_to_jobs_of(request.user, "rerun", self.model)

    # The owner of an item

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._without_owner(request, super().get_exclude(request, obj) or ())

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out the owner for people who see only own items; show mere readers a bare name."""
        only_reads = obj is not None and not self.has_change_permission(request, obj)
        shown = "owner_name" if only_reads and not may_open_people(request) else self.model.OWNER

        def fields_of(options: Any) -> list[Any]:
            kept = self._without_owner(request, options["fields"], keep=True)
            return [shown if name == self.model.OWNER else name for name in kept]

        return [
            (name, {**options, "fields": fields_of(options)})
            for name, options in super().get_fieldsets(request, obj)
        ]

    @admin.display(description=_("author"))
    def owner_name(self, item: Schedulable) -> str:
        return str(getattr(item, str(item.OWNER)) or "-")

    def _without_owner(self, request: HttpRequest, names: Any, *, keep: bool = False) -> list[Any]:
        owner = self.model.OWNER
        if owner is None or sees_all(request.user, self.model):
            return list(names)
        kept = [name for name in names if name != owner]
        return kept if keep else [*kept, owner]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Have JSON that is too deep, or that PostgreSQL cannot store, be the field's error."""
        if isinstance(db_field, JSONField) and db_field.decoder is None:
            kwargs["decoder"] = StorableDecoder
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer staff and the present owner as owners; other users are readers."""
        if db_field.name == self.model.OWNER:
            match = request.resolver_match
            pk = str(match.kwargs.get("object_id", "")) if match else ""
            owners = self.model._base_manager.filter(pk__in=parse_ids(pk)).values(db_field.attname)
            people = get_user_model()._default_manager.order_by("username")
            kwargs["queryset"] = people.filter(Q(is_staff=True, is_active=True) | Q(pk__in=owners))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Have what is no id be the field's error."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = ChosenRows(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the rows that the URL of a new item's form names, where Django returns texts."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        for field in self.opts.many_to_many:
            if field.name in initial:
                rows = field.related_model._default_manager
                initial[field.name] = rows.filter(pk__in=parse_ids(*initial[field.name]))
        return initial

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the person the owner of a new item, unless its form names one."""
        owner = self.model.OWNER
        if not change and owner is not None and getattr(obj, f"{owner}_id") is None:
            setattr(obj, owner, request.user)
        super().save_model(request, obj, form, change)

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ItemList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions, with `delete_selected` of this class instead of Django's own."""
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            actions["delete_selected"] = self.get_action("delete_selected")
        return actions

    schedule_selected = bulk.list_action(bulk.SCHEDULE)
    shift_selected = bulk.list_action(bulk.SHIFT)
    cancel_selected = bulk.list_action(bulk.CANCEL)
    publish_selected = bulk.list_action(bulk.PUBLISH)
    unpublish_selected = bulk.list_action(bulk.UNPUBLISH)
    rerun_selected = bulk.list_action(bulk.RERUN)

    # The page of an item

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the item, locked if it is about to be saved."""
        if request.method == "POST" and transaction.get_connection().in_atomic_block:
            # Otherwise a change that is saved between the read and the write here would be lost.
            opts = self.model._meta
            self.model._base_manager.filter(pk__in=parse_ids(object_id)).select_for_update(
                of=("self",)
            ).values_list(opts.pk.name).first()
        return super().get_object(request, object_id, from_field)

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        """Say that there is no such item; show what was typed for one that is gone."""
        if not has_typed(request):
            answer: HttpResponse = super()._get_obj_does_not_exist_redirect(  # type: ignore[misc]
                request, opts, object_id
            )
            return answer
        if self.model._base_manager.filter(pk__in=parse_ids(object_id)).exists():
            return not_saved(self, request, gettext("You may not see it any more"), status=403)
        return not_saved(self, request, gettext("It has been deleted meanwhile"), status=410)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form; show what was typed if the item may not be changed any more."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except PermissionDenied:
            item = self.get_object(request, object_id) if object_id and has_typed(request) else None
            if item is None:
                raise
            title = gettext("It is %(status)s now, and you may not change it") % {
                "status": item.get_status_display()
            }
            return not_saved(self, request, title, status=403)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask whether to delete an item, or delete it; ask again if it has changed since."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except operations.ChangedMeanwhile as changed:
            text = gettext("It was changed meanwhile, by %(who)s. Look at it, and press again.")
            messages.error(request, text % {"who": last_change_by(changed.row)})
            return redirect(request.get_full_path())

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if seen := request.POST.get("seen"):
            items = self.model._base_manager.filter(pk=obj.pk)
            expected = operations.Seen(version=parse_id(seen))  # None, which no item has
            operations.lock_for_change(items=items, expected=expected)
        super().delete_model(request, obj)

    @admin.action(permissions=["delete"], description=delete_selected.short_description)  # type: ignore[attr-defined]
    @method_decorator(transaction.atomic)
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask whether to delete the items; then delete those that are as the page has shown."""
        if "post" in request.POST:
            chosen = parse_ids(*request.POST.getlist(ACTION_CHECKBOX_NAME))
            # Not the list's own filters: an item that they leave out by now has to be named.
            queryset = self.get_queryset(request).filter(pk__in=chosen)
            seen = set(request.POST.getlist("seen"))
            items = self.model._base_manager.filter(pk__in=queryset.values("pk")).order_by("pk")
            changed = {
                item: operations.ChangedMeanwhile(item)
                for item in items.select_for_update(of=("self",))
                if f"{item.pk}:{item.version}" not in seen
            }
            report(request, gettext("Delete"), "", bulk.reasons(changed))
            queryset = queryset.exclude(pk__in=[item.pk for item in changed])
        answer: HttpResponse | None = delete_selected(self, request, queryset)
        return answer

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name also the jobs that are cancelled with the items."""
        nested, *others = super().get_deleted_objects(objs, request)
        return nested + self._cancelled_with(objs), *others

    def _cancelled_with(self, items: Any) -> list[str]:
        ids = [item.pk for item in items]
        jobs = Job.objects.open().of_type(self.model).filter(IsOneOf("object_id", ids))
        shown: list[str] = [
            format_html(
                gettext("This is cancelled: {title}, {kind} {time}"),
                title=job.item_title,
                kind=job.get_kind_display(),
                time=shown_time(job.run_at),
            )
            for job in jobs.order_by("run_at")[: MOST_NAMED + 1]
        ]
        return shown if len(shown) <= MOST_NAMED else [*shown[:MOST_NAMED], "…"]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            # A form with errors has changed `obj`: it has the values that were typed.
            item = self.get_queryset(request).get(pk=obj.pk) if request.method == "POST" else obj
            page = page_of(item)
            context["publishing"] = panel(request, item, page)
            context |= self._sharing(request, item)
            # The text stays when the panel is refreshed: the panel must know which it is.
            url = reverse(action_url_name(item, "panel"), args=[item.pk])
            context["panel_url"] = f"{url}?{urlencode(page._asdict())}"
        context["when_url"] = reverse(self._url("when"))
        writes = obj is None or self.has_change_permission(request, obj)
        if self.preview_text is not None and writes:
            context["preview_url"] = reverse(self._url("preview_text"))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[URLPattern]:
        """Add a URL for each button, before the admin's own patterns, which would match too."""

        def entry(route: str, view: Any, name: str, **kwargs: Any) -> URLPattern:
            url_name = self._url(name).removeprefix("admin:")
            pattern: URLPattern = path(
                route, self.admin_site.admin_view(view), kwargs, name=url_name
            )
            return pattern

        def button(name: str, view: Any, **kwargs: Any) -> URLPattern:
            # Someone who had to sign in first comes by GET.
            back = partial(change_url, self.model)
            return entry(f"<int:pk>/{name}/", posted(view, back), name, **kwargs)

        urls = [button(action.name, self._act, action=action) for action in ACTIONS]
        urls += [
            entry("<int:pk>/panel/", require_GET(never_cache(self._panel)), "panel"),
            button("share", self._share),
            button("unshare", self._unshare),
            path("add/", self._form, name=self._url("add").removeprefix("admin:")),
            path(
                "<path:object_id>/change/",
                self._form,
                name=self._url("change").removeprefix("admin:"),
            ),
            entry("live/", require_GET(never_cache(self._live)), "live"),
            entry("when/", require_GET(never_cache(self._when)), "when"),
        ]
        if self.preview_text is not None:
            urls.append(entry("preview-text/", require_POST(self._preview_text), "preview_text"))
        return urls + super().get_urls()

    @method_decorator(csrf_protect)
    def _form(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show or save an item; keep what was typed by someone who has been signed out."""
        if has_typed(request) and not self.admin_site.has_permission(request):
            return not_saved(self, request, gettext("You have been signed out"), status=401)
        view = self.admin_site.admin_view(self.change_view if kwargs else self.add_view)
        answer: HttpResponse = view(request, **kwargs)
        return answer

    def _url(self, name: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _find(self, request: HttpRequest, pk: int) -> Any:
        item = self.get_object(request, str(pk))
        if item is None:
            raise Http404
        if not self.has_view_or_change_permission(request, item):
            raise PermissionDenied
        return item

    def _act(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        if not has_right(request.user, action.right, self.model):
            raise PermissionDenied
        item = self._find(request, pk)
        times = action.form.times_of(item)
        form = action.form(request.POST, initial=times, auto_id=f"{action.name}_%s")
        if carry_out(request, form, action, item=item):
            return redirect(change_url(self.model, pk))
        return ask_again(self, request, form, action, item, back=change_url(self.model, pk))

    def _panel(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = self._find(request, pk)
        context = {
            "publishing": panel(request, item, _read_page(request)),
            "when_url": reverse(self._url("when")),
            **self._sharing(request, item),
            "again": seconds_until_news(*_times_of([item])),
        }
        return TemplateResponse(request, "scheduling/publishing.html", context)

    def _sharing(self, request: HttpRequest, item: Any) -> dict[str, Any]:
        """Return what the panel says of links to previews, for people who may make them."""
        if self.preview_name is None or not may_share(request.user, item):
            return {}
        make = "" if item.is_published else reverse(self._url("share"), args=[item.pk])
        ends = list(links_of(item).values_list("expires_at", flat=True))
        end = reverse(self._url("unshare"), args=[item.pk]) if ends else ""
        return {"share_url": make, "unshare_url": end, "shared_until": ends}

    def _shared(self, request: HttpRequest, pk: int) -> Any:
        """Return an item that this person may share."""
        item = self._find(request, pk)
        if self.preview_name is None:
            raise Http404
        if not may_share(request.user, item):
            raise PermissionDenied
        return item

    def _share(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = self._shared(request, pk)
        if item.is_published:
            raise Http404
        assert request.user.is_authenticated  # the admin lets nobody else in
        with transaction.atomic():
            token = make_preview_token(item, by=request.user)
            self._log_link(request, item, "added", f"{conf.PREVIEW_HOURS} h")
        address = absolute(request, reverse(str(self.preview_name), args=[token]))
        until = ngettext(
            "Anybody who has this link sees it, for %(hours)d hour.",
            "Anybody who has this link sees it, for %(hours)d hours.",
            conf.PREVIEW_HOURS,
        ) % {"hours": conf.PREVIEW_HOURS}
        link = format_html('{}<br><a href="{}" class="armo-link">{}</a>', until, address, address)
        messages.success(request, link)
        answer = redirect(change_url(self.model, pk))
        answer["Cache-Control"] = "no-store"
        return answer

    def _unshare(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = self._shared(request, pk)
        with transaction.atomic():
            number = revoke_links(item)
            if number:
                self._log_link(request, item, "deleted", str(number))
        text = ngettext(
            "%(number)d link to a preview ended.", "%(number)d links to a preview ended.", number
        )
        messages.success(request, text % {"number": number})
        return redirect(change_url(self.model, pk))

    def _log_link(self, request: HttpRequest, item: Any, what: str, detail: str) -> None:
        """Have the item's history say who made or ended links; its sentence is Django's own."""
        self.log_change(request, item, [{what: {"name": PREVIEW_LINK, "object": detail}}])

    def _live(self, request: HttpRequest) -> JsonResponse:
        """Return what the list shows of some items now, and in how many seconds to ask again."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        ids = parse_ids(*request.GET.get("ids", "").split(",")[:MOST_WATCHED])
        items = self.get_queryset(request).filter(pk__in=ids).defer(*self.list_defer)
        rows = list(items)
        return JsonResponse(
            {"rows": live_rows(self, request, rows), "again": seconds_until_news(*_times_of(rows))}
        )

    def _when(self, request: HttpRequest) -> HttpResponse:
        """Show what a local time means while a person chooses it."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        field = LocalTimeField(required=False)
        typed = LocalTimeInput().value_from_datadict(request.GET, {}, "at")
        name = request.GET.get("name", "at")
        context: dict[str, Any] = {"name": name, "choices": choices(typed)}
        try:
            at = field.clean(typed)
        except ValidationError as error:
            context["problems"] = error.messages
        else:
            item = self.get_queryset(request).filter(pk__in=parse_ids(request.GET.get("item", "")))
            if at is not None:
                context |= when(at, by=request.user, but=item.first())
        return TemplateResponse(request, "scheduling/when.html", context)

    def _preview_text(self, request: HttpRequest) -> HttpResponse:
        """Show the text in the form as readers would see it; nothing is saved."""
        if not (self.has_add_permission(request) or self.has_view_or_change_permission(request)):
            raise PermissionDenied
        response: HttpResponse = self.preview_text(request)
        return response


def _read_page(request: HttpRequest) -> Page | None:
    """Return the text that the page around a panel shows; None if the request does not say."""
    versions = parse_ids(request.GET.get("version", ""))
    return Page(versions[0], request.GET.get("text", "")) if versions else None


def may_open_people(request: HttpRequest) -> bool:
    """Return whether the person may open the pages of people."""
    of_people = admin.site._registry.get(get_user_model())
    return of_people is not None and of_people.has_view_or_change_permission(request)


def ask_again(
    model_admin: ModelAdmin, request: HttpRequest, form: Any, action: Action, row: Any, *, back: str
) -> HttpResponse:
    """Show a button's form with its errors, on a page of its own."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": action.label,
        "subtitle": str(row),
        "opts": model_admin.opts,
        "form": form,
        "action": action,
        "row": row,
        "back": back,
    }
    return TemplateResponse(request, "scheduling/ask_again.html", context, status=422)


def _times_of(items: Sequence[Any]) -> tuple[list[datetime], datetime]:
    """Return the times at which items ask to be changed, and the time now."""
    now = items[0].clock_at if items else clock.database_now()
    return [at for item in items for at, _transition in times_asked(item)], now
