KIND = "script"


async def session(visit, app):
    two = await app.run(throwText="2d6", atLeast=10)
    assert two["total"] == 36
    assert (two["min"], two["max"], two["mean"]) == (2, 12, 7)
    assert two["ways"][7] == 6
    assert list(two["ways"]) == list(range(2, 13))
    assert two["chance"] == 0.166666

    mixed = await app.run(throwText="d4 - d4 + 10", atLeast=10)
    assert (mixed["min"], mixed["max"], mixed["mean"]) == (7, 13, 10)
    assert mixed["chance"] == 0.625

    many = await app.run(throwText="30d10", atLeast=31)
    assert many["total"] == 10**30  # exact, beyond what a number of JavaScript holds
    assert many["ways"][30] == 1
    assert sum(many["ways"].values()) == 10**30

    assert await app.run(throwText="two dice", atLeast=1) == {"error": 'cannot read "two dice"'}
    assert "too many dice" in (await app.run(throwText="51d6", atLeast=1))["error"]
    assert await app.run(throwText="", atLeast=1) == {"error": 'cannot read ""'}
