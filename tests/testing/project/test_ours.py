"""Our live-server test case."""

import json
from urllib.request import urlopen

from django.contrib.auth.models import User
from websockets.sync.client import connect

from daphne_like.testing import ASGILiveServerTestCase


class OurTests(ASGILiveServerTestCase):
    def get(self, path):
        with urlopen(self.live_server_url + path, timeout=20) as answer:
            return answer.read().decode()

    def test_the_server_sees_the_test_database(self):
        User.objects.create_user("ada")
        assert self.get("/users") == "ada"

    def test_static_files(self):
        assert "green" in self.get("/static/site.css")

    def test_mail_is_not_sent(self):
        assert self.get("/mail") == "django.core.mail.backends.locmem"

    def test_websocket(self):
        User.objects.create_user("ada")
        with connect(f"{self.live_server_ws_url}/count/", proxy=None) as websocket:
            websocket.send("{}")
            assert json.loads(websocket.recv(timeout=20)) == {"users": 1}
