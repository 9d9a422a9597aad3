"""One word for the records of a run, in every sentence; it is images until data say otherwise."""

import threading

import pytest

from trainables.base import noun


@pytest.mark.parametrize(
    ("many", "one", "a"),
    [
        ("images", "image", "an image"),
        ("rows", "row", "a row"),
        ("entries", "entry", "an entry"),
        ("token sequences", "token sequence", "a token sequence"),
    ],
)
def test_a_plural_has_its_singular_and_its_article(many, one, a) -> None:
    with noun.spoken(many):
        assert (noun.many(), noun.one(), noun.a()) == (many, one, a)
    assert noun.many() == noun.IMAGES


def test_a_word_said_inside_a_block_is_forgotten_after_it_even_after_an_error() -> None:
    def fail() -> None:
        with noun.spoken():
            noun.speak_of("rows")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert noun.many() == "images"


def test_all_threads_of_the_process_say_the_same() -> None:
    heard = []
    with noun.spoken("rows"):
        thread = threading.Thread(target=lambda: heard.append(noun.many()))
        thread.start()
        thread.join()
    assert heard == ["rows"]
