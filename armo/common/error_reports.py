"""What Django's pages and mails about errors show of settings and of a request's environment."""

import re

from django.views.debug import SafeExceptionReporterFilter


class WithoutAddresses(SafeExceptionReporterFilter):
    """Hides, beside what Django does, addresses: those of databases and caches hold passwords."""

    hidden_settings = re.compile(
        rf"{SafeExceptionReporterFilter.hidden_settings.pattern}|_URL$|_DSN$|^LOCATION$",
        re.IGNORECASE,
    )
