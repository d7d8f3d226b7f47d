"""
Texts of the REST framework that answers contain, listed to be translated with Armo's own.

The framework has them in Korean as it is spoken in Korea (`ko_KR`), where Django does not look for
them when a site speaks `ko`.
"""

from django.utils.translation import gettext_noop as _

TEXTS = (
    _("Authentication credentials were not provided."),
    _("Invalid token."),
    _("User inactive or deleted."),
    _("You do not have permission to perform this action."),
    _('Method "{method}" not allowed.'),
    _("Could not satisfy the request Accept header."),
    _('Unsupported media type "{media_type}" in request.'),
    _("Malformed request."),
    _("Invalid data. Expected a dictionary, but got {datatype}."),
    _("This field is required."),
    _("This field may not be null."),
    _("This field may not be blank."),
    _("Not a valid string."),
    _("Surrogate characters are not allowed: U+{code_point:X}."),
    _("Ensure this field has no more than {max_length} characters."),
    _('Enter a valid "slug" consisting of Unicode letters, numbers, underscores, or hyphens.'),
    _('"{input}" is not a valid choice.'),
    _("A valid integer is required."),
    _("Ensure this value is less than or equal to {max_value}."),
    _("Ensure this value is greater than or equal to {min_value}."),
    _("Must be a valid boolean."),
    _('Expected a list of items but got type "{input_type}".'),
    _("This list may not be empty."),
    _("Ensure this field has no more than {max_length} elements."),
    _("Ensure this field has at least {min_length} elements."),
)
