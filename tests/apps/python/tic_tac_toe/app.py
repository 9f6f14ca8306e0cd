"""Tic-tac-toe for two, who poll."""

import random
import string
from dataclasses import asdict, dataclass, field
from typing import Literal

from workers import DurableObject, Response

Mark = Literal["X", "O"]
LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


class IllegalMove(Exception):
    pass


@dataclass
class Game:
    code: str
    players: dict[Mark, str] = field(default_factory=dict)
    board: list[str] = field(default_factory=lambda: [" "] * 9)
    turn: Mark = "X"
    version: int = 0

    @property
    def winner(self) -> str | None:
        for a, b, c in LINES:
            if self.board[a] != " " and self.board[a] == self.board[b] == self.board[c]:
                return self.board[a]
        return None if " " in self.board else "draw"

    def mark_of(self, token: str) -> Mark:
        for mark, owner in self.players.items():
            if owner == token:
                return mark
        raise PermissionError("you are not in this game")

    def play(self, mark: Mark, cell: int) -> None:
        if len(self.players) < 2:
            raise IllegalMove("wait for the other player")
        if self.winner:
            raise IllegalMove("the game is over")
        if mark != self.turn:
            raise IllegalMove("it is not your turn")
        if cell not in range(9) or self.board[cell] != " ":
            raise IllegalMove("that cell is not free")
        self.board[cell] = mark
        self.turn = "O" if mark == "X" else "X"
        self.version += 1

    def view(self) -> dict:
        rows = ["".join(self.board[start : start + 3]) for start in (0, 3, 6)]
        return {"rows": rows, "turn": self.turn, "winner": self.winner, "version": self.version}


class App(DurableObject):
    def load(self, code: str) -> Game:
        stored = self.ctx.storage.kv.get(f"game/{code}")
        if stored is None:
            raise LookupError(f"no game {code}")
        return Game(**stored)

    def save(self, game: Game) -> None:
        self.ctx.storage.kv.put(f"game/{game.code}", asdict(game))

    async def fetch(self, request):
        try:
            return await self.route(request)
        except LookupError as error:
            return Response.json({"error": error.args[0]}, status=404)
        except PermissionError as error:
            return Response.json({"error": str(error)}, status=403)
        except IllegalMove as error:
            return Response.json({"error": str(error)}, status=409)

    async def route(self, request):
        parts = request.path.strip("/").split("/")
        match request.method, *parts:
            case "POST", "games":
                game = Game(code="".join(random.choices(string.ascii_uppercase, k=6)))
                return self.join(game, "X")
            case "POST", "games", code, "join":
                game = self.load(code)
                if len(game.players) == 2:
                    raise IllegalMove("two are playing already")
                game.version += 1
                return self.join(game, "O")
            case "POST", "games", code, "moves":
                game = self.load(code)
                token = request.headers.get("authorization", "").removeprefix("Bearer ")
                game.play(game.mark_of(token), (await request.json())["cell"])
                self.save(game)
                return Response.json(game.view())
            case "GET", "games", code:
                game = self.load(code)
                if request.query.get("since") == str(game.version):
                    return Response(None, status=204)
                return Response.json(game.view())
        raise LookupError("nothing here")

    def join(self, game: Game, mark: Mark):
        token = f"{random.getrandbits(128):032x}"
        game.players[mark] = token
        self.save(game)
        return Response.json({"code": game.code, "mark": mark, "token": token}, status=201)
