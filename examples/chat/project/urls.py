"""What Django serves itself: the page."""

from chat.views import page
from django.urls import path

urlpatterns = [path("", page), path("room/<slug:room>/", page, name="room")]
