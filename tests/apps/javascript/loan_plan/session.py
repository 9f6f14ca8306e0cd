KIND = "script"

from datetime import UTC, datetime

from perdure import GuestError


async def session(visit, app):
    plan = await app.run(principal=1000, rate=12, months=3, start="2024-01-31")
    assert plan["payment"] == "340.03 €"
    assert plan["payments"] == 3
    assert plan["interest"] == "20.07 €"
    assert plan["dates"] == [datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC),
                             datetime(2024, 4, 30, tzinfo=UTC)]
    assert list(plan["left"]) == [1, 2, 3] and plan["left"][3] == 0
    assert plan["left"][1] == 669.97

    house = await app.run(principal=250_000, rate=3.5, months=360, start="2023-12-15")
    assert house["payment"] == "1,122.62 €"
    assert house["dates"][0] == datetime(2024, 1, 15, tzinfo=UTC)
    assert 359 <= house["payments"] <= 360

    free = await app.run(principal=100, rate=0, months=3, start="2024-01-01")
    assert free["payment"] == "33.34 €" and free["interest"] == "0.00 €"
    for wrong, text in (({"principal": -1}, "must be positive"), ({"months": 1.5}, "from 1 to 480"),
                        ({"start": "soon"}, "soon is not a date")):
        try:
            await app.run(**{"principal": 1, "rate": 1, "months": 1, "start": "2024-01-01", **wrong})
        except GuestError as error:
            assert text in str(error)
        else:
            raise AssertionError(f"{wrong} went through")
