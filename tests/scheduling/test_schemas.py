"""A schema of the site's own, and what several sites in one database do not share."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from scheduling import keepalives, schemas
from scheduling.queries import health

pytestmark = pytest.mark.django_db


@pytest.fixture
def _again(settings: Any) -> Iterator[None]:
    """Connect anew for the test, and once more for those that follow."""
    connection.close()
    yield
    connection.close()
    settings.DATABASE_SCHEMA = ""


def select(statement: str, *params: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()[0]


class TestWhatADatabaseHasOnce:
    def test_is_called_as_ever_without_a_schema(self) -> None:
        assert schemas.own_channel("armo_queue") == "armo_queue"
        assert schemas.own_key(0x41726D6F) == 0x41726D6F

    def test_is_each_sites_own_with_one(self, settings: Any) -> None:
        found = []
        for settings.DATABASE_SCHEMA in ("news", "sport", "a" * 40):
            found.append((schemas.own_channel("armo_queue"), schemas.own_key(0x41726D6F)))
            assert schemas.own_key(0x41726D6F) != schemas.own_key(0x41726D70)

        channels, keys = zip(*found, strict=True)
        assert len({*channels}) == len({*keys}) == 3
        assert all(len(channel) <= 63 for channel in channels)
        assert all(0 <= key < 2**31 for key in keys)

    def test_is_apart_for_sign_ins_too(self, settings: Any) -> None:
        from armo.common import sign_in

        # Those of one key and of this session: claims of other tests have locks of two keys.
        held = (
            "SELECT string_agg(objid::text, ',') FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()"
        )
        sign_in._lock("account admin")
        before = select(held)

        settings.DATABASE_SCHEMA = "news"
        sign_in._lock("account admin")

        assert len(select(held).split(",")) == 2
        assert before in select(held)


class TestASession:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("_again")
    def test_looks_in_the_schema_alone(self, settings: Any) -> None:
        settings.DATABASE_SCHEMA = "news"

        assert select("SHOW search_path") == "news"

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("_again")
    def test_looks_where_the_role_does_without_one(self) -> None:
        assert select("SHOW search_path") == '"$user", public'

    def test_that_looks_elsewhere_is_found_by_doctor(self, settings: Any) -> None:
        select("SELECT set_config('search_path', 'public', true)")
        schemas_before = health_of_sessions()
        settings.DATABASE_SCHEMA = "news"

        missing = health_of_sessions()
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA news")
        elsewhere = health_of_sessions()

        assert schemas_before.ok
        assert not missing.ok
        assert 'CREATE SCHEMA "news" AUTHORIZATION' in missing.text
        assert not elsewhere.ok
        assert "the session looks in public. Behind a pooler, run manage.py keepalives --set" in (
            elsewhere.text
        )

    def test_that_was_moved_has_its_functions_mended_by_migrate(self, settings: Any) -> None:
        for statement in (
            "CREATE SCHEMA news",
            "CREATE FUNCTION news.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
            """ SET search_path = "$user", public""",
            "SET LOCAL search_path = news",
        ):
            with connection.cursor() as cursor:
                cursor.execute(statement)
        settings.DATABASE_SCHEMA = "news"
        assert schemas.find_problem() == "Functions were moved into news: run manage.py migrate."

        schemas.create()

        assert schemas.find_problem() is None
        found = select("SELECT proconfig FROM pg_proc WHERE oid = 'news.f'::regproc")
        assert found == ["search_path=news"]

    def test_is_not_asked_about_without_a_schema(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert schemas.find_problem() is None


def health_of_sessions() -> health.Check:
    return next(check for check in health.examine() if check.name == "sessions")


class TestMigrating:
    @pytest.mark.parametrize("name", ["news", "user", "order"])
    def test_creates_the_schema_once(self, settings: Any, name: str) -> None:
        settings.DATABASE_SCHEMA = name
        select(f"SELECT set_config('search_path', '{name}', true)")

        for _ in range(2):
            schemas.create()

        assert select("SELECT current_schema()") == name

    def test_creates_nothing_without_one(self) -> None:
        schemas.create()

        assert select("SELECT current_schema()") == "public"

    def test_is_refused_where_tables_would_be_made_elsewhere(self, settings: Any) -> None:
        settings.DATABASE_SCHEMA = "news"

        with pytest.raises(ImproperlyConfigured, match="the session looks in public"):
            schemas.create()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("_again")
    def test_names_the_statement_for_who_may_not_create_it(self, settings: Any) -> None:
        settings.DATABASE_SCHEMA = "news"
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE nobody_here")
            cursor.execute("SET ROLE nobody_here")
        try:
            with pytest.raises(
                ImproperlyConfigured, match='CREATE SCHEMA "news" AUTHORIZATION "nobody_here"'
            ):
                schemas.create()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")
                cursor.execute("DROP ROLE nobody_here")


class TestTheRole:
    STORED = (
        "SELECT coalesce(string_agg(it, ';'), '') FROM pg_db_role_setting, unnest(setconfig) it"
    )

    def test_is_given_the_schema(self, settings: Any) -> None:
        settings.DATABASE_SCHEMA = "news"
        out = StringIO()

        call_command("keepalives", "--set", stdout=out)

        assert "search_path = news" in out.getvalue()
        assert "search_path=news" in select(self.STORED).split(";")
        call_command("keepalives", "--reset", stdout=out)
        assert select(self.STORED) == ""

    def test_keeps_a_search_path_of_its_own_without_one(self) -> None:
        with connection.cursor() as cursor:
            name = connection.settings_dict["NAME"]
            cursor.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" SET search_path = mine')

        call_command("keepalives", "--set", stdout=StringIO())
        call_command("keepalives", "--reset", stdout=StringIO())

        assert select(self.STORED) == "search_path=mine"
        assert set(keepalives.of_role()) == set(keepalives.NAMES)
