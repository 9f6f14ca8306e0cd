"""A survey with one question; the results are an SVG bar chart."""

from enum import StrEnum
from html import escape
from http.cookies import SimpleCookie
from secrets import token_urlsafe
from textwrap import dedent
from xml.etree import ElementTree as ET

from workers import DurableObject, Response


class Choice(StrEnum):
    PYTHON = "Python"
    JAVASCRIPT = "JavaScript"
    RUST = "Rust & friends"


COLORS = dict(zip(Choice, ("#3776ab", "#f7df1e", "#dea584"), strict=True))


def bar_chart(counts: dict[str, int], width: int = 400, bar: int = 24) -> str:
    largest = max(counts.values(), default=0) or 1
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(width), height=str(len(counts) * (bar + 8)))
    for position, (label, count) in enumerate(counts.items()):
        y = position * (bar + 8)
        length = round(count / largest * (width - 160))
        ET.SubElement(
            svg, "rect", x="120", y=str(y), width=str(length), height=str(bar), fill=COLORS[Choice(label)]
        )
        text = ET.SubElement(svg, "text", x="0", y=str(y + bar - 8))
        text.text = f"{label}: {count}"
    return ET.tostring(svg, encoding="unicode")


class App(DurableObject):
    def on_start(self):
        self.ctx.storage.sql.exec(
            "CREATE TABLE IF NOT EXISTS votes (voter TEXT PRIMARY KEY, choice TEXT NOT NULL, comment TEXT)"
        )

    async def fetch(self, request):
        cookies = SimpleCookie(request.headers.get("cookie", ""))
        voter = cookies["voter"].value if "voter" in cookies else None
        match (request.method, request.path):
            case ("GET", "/"):
                return self.form(voter)
            case ("POST", "/vote"):
                return self.vote(voter, await request.form())
            case ("GET", "/results.svg"):
                headers = {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"}
                return Response(bar_chart(self.counts()), headers=headers)
            case ("GET", "/results.json"):
                return Response.json(self.counts())
            case (_, "/vote" | "/results.svg"):
                allowed = "POST" if "vote" in request.path else "GET"
                return Response("Method not allowed", status=405, headers={"Allow": allowed})
            case _:
                return Response("Not found", status=404)

    def counts(self) -> dict[str, int]:
        counts = {choice.value: 0 for choice in Choice}
        counts |= {
            row["choice"]: row["n"]
            for row in self.ctx.storage.sql.exec("SELECT choice, COUNT(*) n FROM votes GROUP BY choice")
        }
        return counts

    def vote(self, voter: str | None, form):
        try:
            choice = Choice(form.get("choice"))
        except ValueError as error:
            return Response(f"{error}", status=422)
        comment = " / ".join(form.get_all("comment"))
        voter = voter or token_urlsafe(12)
        self.ctx.storage.sql.exec("INSERT OR REPLACE INTO votes VALUES (?, ?, ?)", voter, choice.value, comment)
        response = Response.redirect("/", status=303)
        cookie = SimpleCookie()
        cookie["voter"] = voter
        cookie["voter"]["path"] = "/"
        cookie["voter"]["httponly"] = True
        response.headers.append("Set-Cookie", cookie["voter"].OutputString())
        return response

    def form(self, voter: str | None):
        mine = self.ctx.storage.sql.exec("SELECT choice, comment FROM votes WHERE voter = ?", voter).all()
        checked = {mine[0]["choice"]: " checked"} if mine else {}
        options = "\n".join(
            f'<label><input type="radio" name="choice" value="{escape(c)}"{checked.get(c, "")}> {escape(c)}</label>'
            for c in Choice
        )
        said = f"<p>You said: {escape(mine[0]['comment'])}</p>" if mine else "<p>You have not voted.</p>"
        return Response.html(dedent(f"""\
            <!doctype html>
            <h1>Which language do you like best?</h1>
            {said}
            <form method="post" action="/vote">{options}<input name="comment"><button>Vote</button></form>
            <img src="/results.svg" alt="results">
        """))
