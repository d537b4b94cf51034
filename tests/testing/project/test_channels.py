"""Channels' own live-server test case and communicators, as its documentation has them."""

import json
from urllib.request import urlopen

from channels.testing import ChannelsLiveServerTestCase, WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import TransactionTestCase
from websockets.sync.client import connect


class LiveTests(ChannelsLiveServerTestCase):
    def get(self, path):
        with urlopen(self.live_server_url + path, timeout=20) as answer:
            return answer.read().decode()

    def test_the_server_sees_the_test_database(self):
        User.objects.create_user("ada")
        assert self.get("/users") == "ada"

    def test_static_files(self):
        assert "green" in self.get("/static/site.css")

    def test_websocket(self):
        User.objects.create_user("ada")
        with connect(f"{self.live_server_ws_url}/count/", proxy=None) as websocket:
            websocket.send("{}")
            assert json.loads(websocket.recv(timeout=20)) == {"users": 1}


class CommunicatorTests(TransactionTestCase):
    async def test_communicator(self):
        from asgi import application

        communicator = WebsocketCommunicator(application, "/count/")
        assert (await communicator.connect())[0]
        await communicator.send_json_to({})
        assert await communicator.receive_json_from(timeout=20) == {"users": 0}
        await communicator.disconnect()
