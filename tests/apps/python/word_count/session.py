KIND = "script"

TEXT = "The cat sat on the mat. The cat's hat was at the café! Was it?"


async def session(visit, app):
    result = await app.run(text=TEXT, top=2)
    assert result["words"] == 15
    assert result["sentences"] == 3
    assert [tuple(pair) for pair in result["top"]] == [("cat", 2), ("cafe", 1)]
    assert result["longest"] == "cafe"
    assert result["unique"] == {"the", "cat", "sat", "on", "mat", "hat", "was", "at", "cafe", "it"}
    assert 90 < result["ease"] < 125

    assert await app.run(text="... 123 !?", top=5) == {"error": "there are no words"}

    # Nothing is left of one run in the next.
    hard = await app.run(text="Incomprehensibilities characterize institutional communication.", top=10)
    assert hard["words"] == 4
    assert len(hard["top"]) == 4
    assert hard["ease"] < 0

    many = await app.run(text="word " * 5_000, top=1)
    assert [tuple(pair) for pair in many["top"]] == [("word", 5_000)]
    assert many["sentences"] == 1
