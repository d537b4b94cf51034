"""Where what is."""

from django.contrib import admin
from django.urls import path

from shop import holding, threads, views

urlpatterns = [
    path("facts/", views.facts),
    path("facts/<path:rest>", views.facts),
    path("page", views.page),
    path("session", views.session, name="session"),
    path("biscuits", views.biscuits),
    path("form", views.form),
    path("upload", views.upload),
    path("raw", views.raw),
    path("fail", views.fail),
    path("fail-later", views.fail_later),
    path("count/sync", views.count_sync),
    path("count/async", views.count_async),
    path("file/<str:name>", views.file),
    path("parts/<str:name>", views.file_in_parts),
    path("hold/sync-view/<str:name>", holding.sync_view),
    path("hold/async-view/<str:name>", holding.async_view),
    path("hold/steps-view/<str:name>", holding.steps_view),
    path("hold/sync-stream/<str:name>", holding.sync_stream),
    path("hold/async-stream/<str:name>", holding.async_stream),
    path("hold/busy-stream/<str:name>", holding.busy_stream),
    path("hold/sleeping-view/<str:name>", holding.sleeping_view),
    path("open/<str:name>", holding.open_gate),
    path("collect", holding.collect),
    path("tell", holding.tell),
    path("write/<str:name>", holding.write),
    path("how-many/<str:name>", holding.count),
    path("threads/sync", threads.sync_view),
    path("threads/async", threads.async_view),
    path("threads/meet", threads.meet),
    path("threads/pool", threads.pool),
    path("threads/pool/state", threads.pool_state),
    path("favicon.ico", views.no_icon),
    path("admin/", admin.site.urls),
]
