"""The page on which people choose their time zone and language."""

from datetime import UTC, datetime

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from armo.accounts import zones
from armo.accounts.middleware import remember
from armo.accounts.models import Preferences


class PreferencesForm(forms.ModelForm):
    """A time zone and a language."""

    time_zone = forms.ChoiceField(label=_("Time zone"), required=False)
    language = forms.ChoiceField(label=_("Language"), required=False)

    class Meta:
        model = Preferences
        fields = ("time_zone", "language")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        site = gettext("The site's: %(zone)s") % {"zone": settings.TIME_ZONE}
        time_zone, language = self.fields["time_zone"], self.fields["language"]
        assert isinstance(time_zone, forms.ChoiceField)
        assert isinstance(language, forms.ChoiceField)
        time_zone.choices = [("", site), *zones.choices(datetime.now(UTC))]
        # Each language by its own name, for people who cannot read the current one.
        names = [
            (code, translation.get_language_info(code)["name_local"])
            for code, _name in settings.LANGUAGES
        ]
        language.choices = [("", gettext("The browser's")), *names]


def preferences(request: HttpRequest) -> HttpResponse:
    """Show or save the person's preferences."""
    assert request.user.pk is not None  # the admin lets nobody else in
    row = Preferences.objects.filter(user=request.user.pk).first()
    row = row or Preferences(user_id=request.user.pk)
    form = PreferencesForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        form.save()
        remember(request)
        chosen = form.cleaned_data["language"]
        with translation.override(chosen or translation.get_language()):
            messages.success(request, gettext("Your preferences are saved."))
        return redirect("admin-preferences")
    context = {**admin.site.each_context(request), "title": gettext("Preferences"), "form": form}
    status = 422 if form.errors else 200
    return TemplateResponse(request, "people/preferences.html", context, status=status)
