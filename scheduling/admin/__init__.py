"""
The admin: editors' and operators' pages.

They need their theme, `unfold`, and Armo's packages. A project without these keeps its own admin as
it is, and shows its items by `scheduling.admin.plain.PlainItemAdmin`.
"""

from django.apps import apps
from django.contrib import admin

from scheduling.admin.plain import HAS_OWN_PAGES  # without them it registers the jobs

if HAS_OWN_PAGES:
    import django_q.admin  # noqa: F401 (has its pages registered, to be taken away here)

    from scheduling.admin.actions import ACTIONS, JOB_ACTIONS
    from scheduling.admin.display import time_column
    from scheduling.admin.items import SchedulableAdmin
    from scheduling.admin.jobs import JobAdmin

    __all__ = ["ACTIONS", "JOB_ACTIONS", "JobAdmin", "SchedulableAdmin", "time_column"]

    # django-q2's own pages edit live queue rows, and unpickle every row they list.
    for model in apps.get_app_config("django_q").get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)
