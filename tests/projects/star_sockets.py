"""WebSocket endpoints of Starlette and of FastAPI, as their documentation has them."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, WebSocketException
from fastapi import WebSocket as FastWebSocket
from fastapi import WebSocketDisconnect as FastWebSocketDisconnect
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

seen: dict[str, Any] = {}


async def texts(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="texts", headers=[(b"x-own", b"1")])
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())
    seen["texts"] = "over"


async def octets(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())
    except WebSocketDisconnect as disconnect:
        seen["octets"] = [disconnect.code, disconnect.reason]


async def objects(websocket: WebSocket) -> None:
    await websocket.accept()
    asked = await websocket.receive_json()
    await websocket.send_json({"path": websocket.url.path, "scheme": websocket.url.scheme})
    await websocket.close(code=asked["code"], reason=asked["reason"])


async def denied(websocket: WebSocket) -> None:
    body = {"detail": "who are you?"}
    await websocket.send_denial_response(JSONResponse(body, 401, {"X-Own": "1"}))


async def refused(websocket: WebSocket) -> None:
    await websocket.close()


async def sends_late(websocket: WebSocket) -> None:
    """Sends to a client that is gone, as an application that does not listen does."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text("x" * 1000)
    except WebSocketDisconnect as disconnect:
        seen["late"] = disconnect.code


class Echo(WebSocketEndpoint):
    encoding = "json"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_json(data)

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        seen["endpoint"] = close_code


async def tell(request: Request) -> JSONResponse:
    return JSONResponse(seen)


plain = Starlette(
    routes=[
        WebSocketRoute("/texts", texts),
        WebSocketRoute("/octets", octets),
        WebSocketRoute("/objects", objects),
        WebSocketRoute("/denied", denied),
        WebSocketRoute("/refused", refused),
        WebSocketRoute("/late", sends_late),
        WebSocketRoute("/endpoint", Echo),
        Route("/seen", tell),
    ]
)

fast = FastAPI()


async def token(websocket: FastWebSocket, token: str = "") -> str:
    if token == "":
        raise WebSocketException(code=1008, reason="no token")
    return token


@fast.websocket("/items/{number}")
async def items(websocket: FastWebSocket, number: int, token: str = Depends(token)) -> None:
    await websocket.accept()
    try:
        while True:
            item = await websocket.receive_json()
            if item == "enough":
                raise WebSocketException(code=4008, reason="enough")
            await websocket.send_json({"number": number, "token": token, "item": item})
    except FastWebSocketDisconnect as disconnect:
        seen["fast"] = [disconnect.code, disconnect.reason]


@fast.get("/seen")
async def told() -> dict[str, Any]:
    return seen
