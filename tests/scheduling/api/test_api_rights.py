"""Who may do what: every route of the API, as every role."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from content.models import Category, Story
from scheduling import operations
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status, clock
from scheduling.operations import store
from tests.api_clients import API, client_of, person, superuser
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]

ROLES = ("nobody", "author", "other", "editor", "operator", "superuser")

# What each route answers to each role. The author is the one whose items these are, the other an
# author too. What one may not see is not found; what one sees and may not do is forbidden.
ITEMS = """
                                          nobody author other editor operator superuser
    GET     {items}/                         200    200   200    200      200       200
    POST    {items}/                         401    201   201    201      403       201
    POST    {items}/ scheduled               401    403   403    201      403       201
    GET     {items}/draft/                   404    200   404    200      200       200
    GET     {items}/scheduled/               404    200   404    200      200       200
    GET     {items}/failed/                  404    200   404    200      200       200
    GET     {items}/unpublished/             404    200   404    200      200       200
    GET     {items}/published/               200    200   200    200      200       200
    GET     {items}/missing/                 404    404   404    404      404       404
    PATCH   {items}/draft/                   401    200   404    200      403       200
    PATCH   {items}/scheduled/               401    403   404    200      403       200
    PATCH   {items}/published/               401    403   403    200      403       200
    POST    {items}/ cancel                  401    201   201    201      403       201
    PATCH   {items}/draft/ cancel            401    200   404    200      200       200
    PATCH   {items}/draft/ schedule          401    403   404    200      200       200
    PATCH   {items}/scheduled/ move          401    403   404    200      200       200
    PATCH   {items}/scheduled/ cancel        401    403   404    200      200       200
    DELETE  {items}/draft/                   401    403   403    204      403       204
    DELETE  {items}/published/               401    403   403    204      403       204
    POST    {items}/draft/schedule/          401    403   403    200      200       200
    POST    {items}/scheduled/unschedule/    401    403   403    200      200       200
    POST    {items}/draft/publish/           401    403   403    200      200       200
    POST    {items}/published/unpublish/     401    403   403    200      200       200
    POST    {items}/bulk/schedule/           401    403   403    200      200       200
"""
OTHERS = """
                                          nobody author other editor operator superuser
    GET     jobs/                            401    403   403    200      200       200
    GET     jobs/open/                       401    403   403    200      200       200
    POST    jobs/                            401    403   403    201      201       201
    POST    jobs/open/move/                  401    403   403    200      200       200
    POST    jobs/open/cancel/                401    403   403    200      200       200
    POST    jobs/failed/rerun/               401    403   403    403      200       200
    POST    jobs/rerun/                      401    403   403    403      200       200
    GET     calendar/                        401    200   200    200      200       200
    POST    calendar/                        401    201   201    201      201       201
    DELETE  calendar/                        401    204   204    204      204       204
    POST    auth/login/                      401    401   401    401      401       401
    POST    auth/logout/                     401    204   204    204      204       204
    GET     auth/tokens/                     401    200   200    200      200       200
    DELETE  auth/tokens/                     401    204   204    204      204       204
    DELETE  auth/tokens/not-mine/            401    404   404    404      404       404
    GET     auth/keys/                       401    200   200    200      200       200
    POST    auth/keys/                       401    201   201    201      201       201
    DELETE  auth/keys/1/                     401    404   404    404      404       404
    GET     schema/                          200    200   200    200      200       200
    GET     docs/                            200    200   200    200      200       200
    GET     problems/                        200    200   200    200      200       200
    GET     /                                200    200   200    200      200       200
"""


def rows(table: str) -> list[Any]:
    """Return the rows of a table: method, route, name of the body, and a status for each role."""
    found = []
    for line in table.strip().splitlines()[1:]:
        *request, nobody, author, other, editor, operator, admin = line.split()
        method, route, body_name = (*request, "")[:3]
        statuses = dict(
            zip(ROLES, map(int, (nobody, author, other, editor, operator, admin)), strict=True)
        )
        found.append(pytest.param(method, route, body_name, statuses, id=" ".join(request)))
    return found


@pytest.fixture
def people() -> dict[str, User | None]:
    return {
        "nobody": None,
        "author": person(group="Authors"),
        "other": person(group="Authors"),
        "editor": person(group="Editors"),
        "operator": person(group="Operators"),
        "superuser": superuser(),
    }


def failed_job(item: Schedulable) -> Job:
    job = operations.schedule(item=item, run_at=FAR_OFF, by=None)
    store.close_job(
        job=job,
        state=State.FAILED,
        what=JobEvent.What.FAILED,
        at=clock.database_now(),
        by=None,
        reasons=["made up"],
    )
    type(item).objects.filter(pk=item.pk).update(status=Status.FAILED)
    return job


def asked(user: User | None, method: str, path: str, body: Any) -> Any:
    send: Callable[..., Any] = getattr(client_of(user), method.lower())
    return send(f"{API}/{path.lstrip('/')}", body, format="json")


def statuses_of(
    people: dict[str, User | None], method: str, path_of: Callable[[str], tuple[str, Any]]
) -> dict[str, int]:
    """Send the request as each role, on new rows for each; every error is a problem document."""
    found = {}
    for role, user in people.items():
        path, body = path_of(role)
        response = asked(user, method, path, body)
        found[role] = response.status_code
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
            codes = {401: "not_authenticated", 403: "permission_denied", 404: "not_found"}
            assert response.json()["code"] == codes[response.status_code]
    return found


BODIES: dict[str, Any] = {
    "": {"title": "바뀐 제목"},
    "scheduled": {
        "title": "t",
        "body": "b",
        "status": "scheduled",
        "publish_at": FAR_OFF.isoformat(),
    },
    "schedule": {"status": "scheduled", "publish_at": FAR_OFF.isoformat()},
    "move": {"publish_at": FAR_OFF.replace(year=2101).isoformat()},
    "cancel": {"status": "draft"},
}


@pytest.mark.slow
class TestEveryRole:
    @pytest.mark.parametrize(
        ("items", "make"),
        [
            pytest.param("stories", StoryFactory, id="stories"),
            pytest.param("notices", NoticeFactory, id="notices"),
        ],
    )
    @pytest.mark.parametrize(("method", "route", "body_name", "expected"), rows(ITEMS))
    def test_may_do_to_items_what_its_rights_say(
        self,
        people: dict[str, User | None],
        items: str,
        make: Any,
        method: str,
        route: str,
        body_name: str,
        expected: dict[str, int],
    ) -> None:
        def path_of(role: str) -> tuple[str, Any]:
            parts = route.format(items=items).split("/")
            made = make(author=people["author"])
            match parts[1]:
                case "draft":
                    pass
                case "scheduled":
                    operations.schedule(item=made, run_at=FAR_OFF, by=None)
                case "published" | "failed" | "unpublished" as status:
                    made = make(author=people["author"], **{status: True})
            body = BODIES[body_name]
            match parts:
                case [_, "bulk", *_]:
                    body = {"ids": [made.pk], "publish_at": FAR_OFF.isoformat()}
                case [_, _, "schedule", _]:
                    body = {"publish_at": FAR_OFF.isoformat()}
                case [_, _, _, _]:
                    body = {}
            if parts[1] == "missing":
                parts[1] = str(made.pk + 1_000_000)
            elif parts[1] not in ("", "bulk"):
                parts[1] = str(made.pk)
            return "/".join(parts), None if method in ("GET", "DELETE") else body

        assert statuses_of(people, method, path_of) == expected

    @pytest.mark.parametrize(("method", "route", "body_name", "expected"), rows(OTHERS))
    def test_may_do_otherwise_what_its_rights_say(
        self,
        people: dict[str, User | None],
        method: str,
        route: str,
        body_name: str,
        expected: dict[str, int],
    ) -> None:
        def path_of(role: str) -> tuple[str, Any]:
            story = StoryFactory(author=people["author"])
            body: Any = {}
            path = route
            if "open" in route:
                job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
                path = route.replace("open", str(job.pk))
            elif "failed" in route:
                path = route.replace("failed", str(failed_job(story).pk))
            if route.endswith("move/"):
                body = {"run_at": FAR_OFF.replace(year=2101).isoformat()}
            elif (method, route) == ("POST", "jobs/"):
                body = {
                    "model": "story",
                    "id": story.pk,
                    "kind": "publish",
                    "run_at": FAR_OFF.isoformat(),
                }
            elif (method, route) == ("POST", "auth/keys/"):
                body = {"name": "import", "scopes": ["read"]}
            elif route == "auth/login/":
                body = {"username": "nobody-of-that-name", "password": "x"}
            return path, None if method in ("GET", "DELETE") else body

        assert statuses_of(people, method, path_of) == expected


def routes(patterns: list[Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Return every method of every route: its name, and the method."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern) and before.startswith("api/v1/") and pattern.name:
            view: Any = pattern.callback
            methods = getattr(view, "actions", None) or [
                name for name in ("get", "post", "put", "patch", "delete") if has(view, name)
            ]
            for method in methods:
                if method != "head":
                    yield pattern.name, method.upper()


def has(view: Any, method: str) -> bool:
    return hasattr(getattr(view, "view_class", None), method) or (
        not hasattr(view, "view_class") and method == "get"
    )


def test_no_route_is_left_out() -> None:
    tried = set()
    for table in (ITEMS, OTHERS):
        for row in rows(table):
            method, route, *_ = row.values
            names = ["story", "notice"] if "{items}" in route else [""]
            steps = route.strip("/").split("/")
            for name in names:
                tried.add((name_of(steps, name), method))

    assert set(routes(get_resolver().url_patterns)) == tried


def name_of(steps: list[str], item: str) -> str:
    match steps:
        case ["{items}"]:
            return f"{item}-list"
        case ["{items}", "bulk", "schedule"]:
            return f"{item}-bulk-schedule"
        case ["{items}", _]:
            return f"{item}-detail"
        case ["{items}", _, action]:
            return f"{item}-{action}"
        case [""]:
            return "api-index"
        case ["jobs"]:
            return "job-list"
        case ["jobs", "rerun"]:
            return "job-rerun-many"
        case ["jobs", _]:
            return "job-detail"
        case ["jobs", _, action]:
            return f"job-{action}"
        case ["auth", "tokens", _]:
            return "token"
        case ["auth", "keys", _]:
            return "key"
        case [*_, last]:
            return last
    raise AssertionError(steps)


class TestAnAuthor:
    def test_gets_for_a_draft_of_another_what_nobody_gets(self) -> None:
        theirs = StoryFactory()
        path = f"{API}/stories/{theirs.pk}/"

        mine = client_of(person(group="Authors")).get(path)
        nobodys = client_of().get(path)

        assert mine.json() == nobodys.json()

    def test_sees_their_own_and_what_is_live_in_lists(self) -> None:
        author = person(group="Authors")
        mine = StoryFactory(author=author)
        live = StoryFactory(published=True)
        StoryFactory()

        page = client_of(author).get(f"{API}/stories/").json()

        assert [row["id"] for row in page["results"]] == [live.pk, mine.pk]

    @pytest.mark.parametrize("role", ["", "Authors"])
    @pytest.mark.parametrize("items", ["stories", "notices"])
    def test_does_not_learn_who_has_a_login(self, items: str, role: str) -> None:
        here = person(username="editor")
        story = StoryFactory(published=True, author=here)
        client = client_of(person(group=role)) if role else client_of()

        answers = [
            client.get(f"{API}/{items}/?author={name}") for name in ("editor", "nobody", "ed itor")
        ]

        assert [answer.status_code for answer in answers] == [400] * 3
        assert len({answer.content for answer in answers}) == 1
        found = client.get(f"{API}/stories/?author={here.pk}").json()["results"]
        assert [row["id"] for row in found] == [story.pk]

    def test_finds_their_own_by_their_name(self) -> None:
        author = person(group="Authors", username="김하늘")
        mine = StoryFactory(author=author)

        found = client_of(author).get(f"{API}/stories/?author=김하늘").json()["results"]

        assert [row["id"] for row in found] == [mine.pk]

    def test_owns_what_they_create(self) -> None:
        author = person(group="Authors")

        made = client_of(author).post(f"{API}/notices/", {"title": "t"}, format="json").json()

        assert made["author"] == author.pk

    def test_cannot_give_it_to_another(self) -> None:
        client = client_of(person(group="Authors"))

        refused = client.post(f"{API}/stories/", {"author": 1}, format="json")

        assert refused.status_code == 400


class TestARight:
    def test_to_jobs_of_one_type_is_of_no_other(self) -> None:
        client = client_of(
            person("scheduling.view_job", "content.view_notice", "content.schedule_notice")
        )
        seen = operations.schedule(item=NoticeFactory(), run_at=FAR_OFF, by=None)
        unseen = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)

        page = client.get(f"{API}/jobs/").json()
        refused = client.post(f"{API}/jobs/{unseen.pk}/cancel/", {}, format="json")
        done = client.post(f"{API}/jobs/{seen.pk}/cancel/", {}, format="json")

        assert [row["id"] for row in page["results"]] == [seen.pk]
        assert (refused.status_code, done.status_code) == (404, 200)

    def test_to_rerun_one_type_leaves_the_others_alone(self) -> None:
        client = client_of(
            person(
                *("scheduling.view_job", "content.view_notice", "content.rerun_notice"),
                *("content.view_story", "content.schedule_story"),
            )
        )
        mine, theirs = failed_job(NoticeFactory()), failed_job(StoryFactory())

        many = client.post(f"{API}/jobs/rerun/", {}, format="json").json()
        one = client.post(f"{API}/jobs/{theirs.pk}/rerun/", {}, format="json")

        assert [row["job"] for row in many["jobs"]] == [mine.pk]
        assert one.status_code == 403

    def test_that_is_taken_away_is_gone_at_the_next_request(self) -> None:
        user = person("content.view_story", "content.schedule_story")
        story = StoryFactory()
        before = client_of(user).get(f"{API}/stories/{story.pk}/").status_code

        user.user_permissions.clear()
        after = client_of(User.objects.get(pk=user.pk)).get(f"{API}/stories/{story.pk}/")

        assert (before, after.status_code) == (200, 404)

    def test_of_somebody_inactive_is_none(self) -> None:
        user = person(group="Editors", is_active=False)
        story = StoryFactory()

        assert client_of(user).get(f"{API}/stories/{story.pk}/").status_code == 404


def test_a_name_that_is_refused_makes_no_category() -> None:
    client = client_of(person(group="Editors"))

    client.post(f"{API}/stories/", {"categories": ["새 분류"], "slug": "no/slug"}, format="json")

    assert not Category.objects.exists()


def test_every_kind_is_asked_for_by_the_right_to_schedule() -> None:
    client = client_of(person(group="Authors"))
    notice = NoticeFactory(published=True)

    for kind in Kind:
        data = {
            "model": "notice",
            "id": notice.pk,
            "kind": str(kind),
            "run_at": FAR_OFF.isoformat(),
        }
        assert client.post(f"{API}/jobs/", data, format="json").status_code == 403


class TestAnAuthorWhoMayDelete:
    def test_deletes_what_they_may_change_and_no_more(self) -> None:
        author = person("content.delete_story", group="Authors")
        own, planned = StoryFactory(author=author), StoryFactory(author=author, scheduled=True)
        others = StoryFactory(published=True)
        client = client_of(author)

        answers = [
            client.delete(f"{API}/stories/{story.pk}/").status_code
            for story in (own, planned, others)
        ]

        assert answers == [204, 403, 403]


class TestWhoMayDeleteButNotPublish:
    @pytest.fixture
    def person_who_deletes(self) -> User:
        names = ("view", "change", "delete", "schedule")
        return person(*(f"content.{it}_story" for it in names), is_staff=True)

    def test_deletes_what_is_not_live_by_the_api(self, person_who_deletes: User) -> None:
        rows = [StoryFactory(**it) for it in ({}, {"scheduled": True}, {"published": True})]
        client = client_of(person_who_deletes)

        answers = [client.delete(f"{API}/stories/{row.pk}/").status_code for row in rows]

        assert answers == [204, 204, 403]

    def test_deletes_what_is_not_live_in_the_admin(self, person_who_deletes: User) -> None:
        draft, live = StoryFactory(), StoryFactory(published=True)
        client = Client()
        client.force_login(person_who_deletes)

        alone = client.post(reverse("admin:content_story_delete", args=[live.pk]), {"post": "yes"})
        both = {
            "action": "delete_selected",
            "post": "yes",
            "_selected_action": [draft.pk, live.pk],
            "seen": [f"{it.pk}:{it.version}" for it in (draft, live)],
        }
        together = client.post(reverse("admin:content_story_changelist"), both)

        assert (alone.status_code, together.status_code) == (403, 403)
        assert Story.objects.count() == 2
