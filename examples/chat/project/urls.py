"""The URL that Django itself serves: the page."""

from chat.views import page
from django.urls import path

urlpatterns = [path("", page), path("room/<slug:room>/", page, name="room")]
