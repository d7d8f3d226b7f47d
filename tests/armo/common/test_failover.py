"""Web processes and a server that accepts no writes any more."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.api_clients import superuser


@pytest.mark.django_db(transaction=True)
class TestAProcessWhoseServerAcceptsNoWritesAnyMore:
    def test_connects_anew_after_the_first_that_was_refused(self) -> None:
        client = Client(raise_request_exception=False)
        client.force_login(superuser())
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        add, group = reverse("admin:auth_group_add"), {"name": "편집"}

        assert client.post(add, group).status_code == 500
        assert client.post(add, group).status_code == 302
        assert Group.objects.filter(name="편집").exists()
