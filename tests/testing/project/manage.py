"""Django's command, with the one line; START_METHOD says how processes start."""

import multiprocessing
import os
import sys

from daphne_like.testing import stand_in_for_daphne

if __name__ == "__main__":
    if "STAND_IN" in os.environ:
        stand_in_for_daphne()
    if "START_METHOD" in os.environ:
        multiprocessing.set_start_method(os.environ["START_METHOD"])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
