"""Makes the shop's database: `python -m shop.prepare`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django
from django.contrib.auth import get_user_model
from django.core.management import call_command

django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)

get_user_model().objects.create_superuser("anna", password="of the shop")
