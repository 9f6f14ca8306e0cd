"""Date arithmetic over HTTP. It keeps nothing."""

import calendar
from datetime import date, timedelta

from workers import Response, WorkerEntrypoint

USAGE = """{greeting}

/between?from=2024-01-31&to=2024-03-01
/add?date=2024-01-31&months=1&days=1
/workdays?from=2024-12-23&to=2025-01-03&holidays=2024-12-25,2025-01-01
/calendar/2024/2
"""


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method not in ("GET", "HEAD"):
            return Response.json({"error": "only GET"}, status=405, headers={"allow": "GET, HEAD"})
        query = request.query
        try:
            match request.path.strip("/").split("/"):
                case [""]:
                    return Response(USAGE.format(greeting=self.env.GREETING))
                case ["between"]:
                    return Response.json(between(day(query, "from"), day(query, "to")))
                case ["add"]:
                    start = day(query, "date")
                    end = add_months(start, int(query.get("months", 0))) + timedelta(days=int(query.get("days", 0)))
                    return Response.json({"date": end.isoformat(), "weekday": calendar.day_name[end.weekday()]})
                case ["workdays"]:
                    holidays = [date.fromisoformat(text) for text in query.get("holidays", "").split(",") if text]
                    return Response.json({"workdays": workdays(day(query, "from"), day(query, "to"), set(holidays))})
                case ["calendar", year, month]:
                    return Response(calendar.TextCalendar().formatmonth(int(year), int(month)))
        except (ValueError, OverflowError) as error:
            return Response.json({"error": str(error)}, status=400)
        return Response.json({"error": "not found"}, status=404)


def day(query, name):
    if name not in query:
        raise ValueError(f"{name} is missing")
    return date.fromisoformat(query[name])


def between(start, end):
    """Days, and the same as whole years, months and days."""
    sign = 1 if start <= end else -1
    first, last = min(start, end), max(start, end)
    months = (last.year - first.year) * 12 + last.month - first.month
    if add_months(first, months) > last:
        months -= 1
    rest = last - add_months(first, months)
    return {"days": sign * (last - first).days, "years": months // 12, "months": months % 12, "rest": rest.days}


def add_months(start, months):
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise ValueError("year is out of range")
    return start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))


def workdays(start, end, holidays):
    if (end - start).days > 36525:
        raise ValueError("a century is the most")
    days = (start + timedelta(days=n) for n in range((end - start).days + 1))
    return sum(each.weekday() < 5 and each not in holidays for each in days)
