"""
Texts of others, listed to be translated with Armo's own.

Those of the admin's theme, which has English only, and what Django has in poor Korean.
"""

from django.utils.translation import gettext_noop as _

TEXTS = (
    _("%(model_name)s with this %(field_label)s already exists."),
    _(" By %(filter_title)s "),
    _("Added {name} “{object}”."),
    _("After you've created a user, you’ll be able to edit more user options."),
    _("All applications"),
    _("Apply Filters"),
    _("Cancel"),
    _("Changed {fields}."),
    _("Changed {fields} for {name} “{object}”."),
    _("Change history: %s"),
    _("Dark"),
    _("Deleted {name} “{object}”."),
    _("Filters"),
    _("General"),
    _("Go back"),
    _("Light"),
    _("More actions"),
    _("Next"),
    _("No data"),
    _("No results found"),
    _("No results matching your query"),
    _("Previous"),
    _(
        "Raw passwords are not stored, so there is no way to see this user’s password, but you can"
        ' change the password using <a href="{}" class="text-primary-600 dark:text-primary-500">'
        "this form</a>."
    ),
    _("Reset filters"),
    _("Return to site"),
    _("Run"),
    _("Save and add another"),
    _("Select Record"),
    _("Select action"),
    _("Select action to run"),
    _("Select %s to change"),
    _("Select %s to view"),
    _("Select all rows"),
    _("Select record"),
    _("Select value"),
    _("Submit"),
    _("System"),
    _("This page yielded into no results. Create a new item or reset your filters."),
    _("Toggle password visibility"),
    _("Type to search"),
    _("View %s"),
    _("Welcome back to"),
    _("You have been successfully logged out from the administration"),
    _("and"),
)
