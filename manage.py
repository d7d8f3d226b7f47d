#!/usr/bin/env python
"""Run one of Armo's commands: `manage.py help` lists them."""

import os
import sys


def main() -> None:
    """Hand the command line to Django; a missing setting is one line, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "armo.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
