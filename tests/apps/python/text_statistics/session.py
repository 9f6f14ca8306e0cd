KIND = "script"

TEXT = """The cat sat on the mat. The cat's hat sat on the cat!

Did the café’s owner see it? She didn't."""


async def session(visit, app):
    result = await app.run(text=TEXT, top=3)
    assert result["characters"] == len(TEXT)
    assert (result["words"], result["sentences"], result["paragraphs"]) == (21, 4, 2)
    assert result["unique_words"] == 14
    assert result["top"] == [["cat", 2], ["sat", 2], ["café’s", 1]]
    assert result["longest"] == "café’s"
    assert list(result["letters"].items())[0] == ("t", 14)

    # Each run starts from nothing.
    short = await app.run(text="Go! Go. Go?", top=10)
    assert (short["sentences"], short["unique_words"], short["top"]) == (3, 1, [["go", 3]])
    assert short["mean_word_length"] == 2.0
    assert (await app.run(text="1 + 1 = 2", top=1))["longest"] is None

    try:
        await app.run(text="  ", top=1)
    except Exception as error:
        message = str(error)
    else:
        message = "an empty text was taken"
    assert "there is no text" in message
