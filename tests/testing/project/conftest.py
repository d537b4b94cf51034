"""The project under pytest, without pytest-django: what that plug-in does, by hand."""

import multiprocessing
import os

import django
import pytest

if "START_METHOD" in os.environ:
    multiprocessing.set_start_method(os.environ["START_METHOD"], force=True)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()


@pytest.fixture(scope="session", autouse=True)
def project():
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment, teardown_test_environment

    setup_test_environment()
    runner = get_runner(settings)(interactive=False, verbosity=0)
    databases = runner.setup_databases()
    yield
    runner.teardown_databases(databases)
    teardown_test_environment()
