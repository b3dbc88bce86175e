"""Texts there and back."""

from workers.text_rows import rows_to_texts, texts_to_rows


def test_texts_come_back_as_they_were() -> None:
    texts = ["a dog", "", "ein Vögelchen 🐦", "x" * 300]
    assert rows_to_texts(texts_to_rows(texts)) == texts
    assert rows_to_texts(texts_to_rows([None, "a"])) == ["", "a"]
    assert rows_to_texts(texts_to_rows([None])) == [""]
