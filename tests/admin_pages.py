"""The pages of the admin: their addresses, forms, buttons and messages, as a browser has them."""

import re
from html import unescape
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from content.models import Story
from scheduling.admin import ACTIONS
from scheduling.models import Job, Schedulable
from tests.factories import UserFactory

SOON_ENOUGH = "2100-03-01T09:30"


def signed_in(group: str) -> Client:
    """Return the browser of a new member of the group."""
    user = UserFactory(username=f"one-of-{group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


def page_of(item: Schedulable | Job) -> str:
    opts = item._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[item.pk])


def list_of(model: type[Schedulable] | type[Job]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def press(client: Client, item: Schedulable | Job, name: str, **data: Any) -> Any:
    """Press the button of that name on the item's page."""
    opts = item._meta
    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_{name}", args=[item.pk])
    return client.post(url, data)


def submit(client: Client, page: str, name: str) -> Any:
    """Send the form of the button as the page has it, with the hidden fields that are in it."""
    html = client.get(page).content.decode()
    form = re.search(rf'<form method="post" action="([^"]*/{name}/)">(.*?)</form>', html, re.DOTALL)
    assert form
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[2])
    return client.post(form[1], dict(hidden))


def confirm(
    client: Client, model: type[Schedulable] | type[Job], action: str, *pks: int, **data: Any
) -> Any:
    """Run a bulk action, having confirmed its preview."""
    return agree(client, model, action, looked_at(client, model, action, *pks, **data))


def looked_at(
    client: Client, model: type[Schedulable] | type[Job], action: str, *pks: int, **data: Any
) -> dict[str, Any]:
    """Return what the preview of a bulk action would send."""
    asked = {"action": action, "select_across": "1", "_selected_action": "0"}
    sent = asked | {"rows": str(list(pks))} | data
    page = client.post(list_of(model), sent).content.decode()
    seen = re.search(r'name="seen" value="([^"]*)"', page)
    return sent | {"seen": unescape(seen[1]) if seen else ""}


def agree(
    client: Client, model: type[Schedulable] | type[Job], action: str, page: dict[str, Any]
) -> Any:
    """Confirm what a page has shown."""
    return client.post(list_of(model), page | {"confirmed": "1"})


def previewed(client: Client, model: Any, action: str, *pks: int, **data: Any) -> str:
    """Return the preview of a bulk action."""
    chosen = {"action": action, "_selected_action": [str(pk) for pk in pks], **data}
    return str(client.post(list_of(model), chosen).content.decode())


def fields_of(client: Client, item: Schedulable, name: str) -> dict[str, str]:
    """Return what the form of a button holds, on the item's page."""
    html = client.get(page_of(item)).content.decode()
    form = re.search(rf'<form method="post" action="[^"]*/{name}/">(.*?)</form>', html, re.DOTALL)
    assert form
    return fields_in(form[1])


def fields_in(html: str) -> dict[str, str]:
    inputs = re.findall(r"<input (.*?)>", html, re.DOTALL)
    return {
        unescape(name[1]): unescape(value[1]) if value else ""
        for text in inputs
        if (name := re.search(r'name="([^"]*)"', text))
        and 'type="radio"' not in text
        and [value := re.search(r'value="([^"]*)"', text)]
    }


def messages_in(response: Any) -> list[str]:
    """Return the messages that the next page will show."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def buttons_on(client: Client, item: Schedulable) -> list[str]:
    html = client.get(page_of(item)).content.decode()
    return [action.name for action in ACTIONS if f'/{item.pk}/{action.name}/"' in html]


FIELDS = ("_seen", "title", "slug", "summary", "body", "extra", "keywords")


def typed(page: str) -> dict[str, Any]:
    """Return what the form of an item's page would send, as the page has it."""
    fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page))
    texts = re.findall(r'<textarea name="(\w+)"[^>]*>\n?([^<]*)</textarea>', page)
    data = {name: unescape(value) for name, value in [*fields.items(), *texts]}
    return {name: data.get(name, "") for name in FIELDS}


def sent(client: Client, story: Story) -> dict[str, Any]:
    """Return what a browser would send of a story's form, if nobody touched it."""
    data = typed(client.get(page_of(story)).content.decode())
    areas = ("summary", "body", "extra", "keywords")
    # HTML 4.10.11.2: the lines of a form end with CRLF.
    return data | {name: data[name].replace("\n", "\r\n") for name in areas}
