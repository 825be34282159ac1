"""What the lexicon reads out of sentences that customers really write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.apps.lexicon.complaints import NAMES, topics
from stream_apps.apps.lexicon.language import language
from stream_apps.apps.lexicon.words import folded, word_count, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Não recebi o produto até o momento", "not_received"),
        ("n chegou", "not_received"),
        ("Cadê o produto???????", "not_received"),
        ("o produto não chegou no prazo", "late_delivery"),
        ("MUITA DEMORA", "late_delivery"),
        ("O produto e bom, só a entrega que atrasou.", "late_delivery"),
        ("Produto errado. Pedi um produto e veio outro", "wrong_product"),
        ("não é o que comprei", "wrong_product"),
        ("Chegou todo quebrado", "damaged"),
        ("Recebi o produto mas não consegui usar, não liga", "damaged"),
        ("Péssima qualidade, um lixo", "poor_quality"),
        ("Veio faltando duas peças", "missing_part"),
        ("Comprei 2, só recebi um", "missing_part"),
        ("Quero meu dinheiro de volta", "refund"),
        ("não tinha em estoque", "out_of_stock"),
        ("Relógio falsificado", "counterfeit"),
        ("Enviei e-mail e não obtive resposta", "seller_contact"),
    ],
)
def test_a_complaint_is_found_by_its_words(text: str, expected: str) -> None:
    assert topics(text) == (expected,)


def test_the_words_of_one_complaint_do_not_count_for_another() -> None:
    assert topics("não recebi resposta") == ("seller_contact",)
    assert topics("não recebi o produto. Ninguém me deu resposta") == ("not_received", "seller_contact")


@pytest.mark.parametrize(
    "text", ["Entrega sem atraso", "não veio quebrado", "sem nenhum defeito", "Não demorou nada", "nunca atrasa"]
)
def test_what_is_denied_is_no_complaint(text: str) -> None:
    assert topics(text) == ()


def test_a_denial_ends_with_its_sentence() -> None:
    assert topics("Recomendo? Não. Atrasou") == ("late_delivery",)
    assert topics("não recomendo: quebrado") == ("damaged",)


def test_a_phrase_does_not_reach_into_the_next_sentence() -> None:
    assert "not_received" not in topics("Amei, nunca falha. Recebi antes do prazo")


@pytest.mark.parametrize("text", ["", "   ", "Ótimo produto, recomendo!", "Chegou antes do prazo", "😀👍", "10"])
def test_praise_and_silence_are_no_complaints(text: str) -> None:
    assert topics(text) == ()


@given(st.text(max_size=200))
def test_any_text_has_sorted_known_topics_whatever_its_case(text: str) -> None:
    found = topics(text)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(NAMES)
    assert topics(f"  {text}\n") == found


@given(st.text(alphabet="áéíóúâêôãõçàü ÁÉÍÓÚabcxyz", max_size=60))
def test_accents_and_case_do_not_matter(text: str) -> None:
    assert folded(text.upper()) == folded(text.lower()) == folded(folded(text))
    assert topics(text) == topics(folded(text))


def test_sentences_end_at_marks_with_or_without_a_space_and_never_inside_a_number() -> None:
    assert " ".join(words("Paguei 1.99.Não veio!\nn\u0303 gostei")) == "paguei 1 99 . nao veio . nao gostei"


def test_marks_and_emoji_are_no_words() -> None:
    assert word_count("Muito bom!! 😀 ... 10") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Produto muito bom", "pt"),
        ("Ótimo!", "pt"),
        ("ñ gostei", "pt"),
        ("The product is very good", "other"),
        ("Llegó con retraso y sin la caja", "other"),
        ("xxdf", "other"),
        ("10", "none"),
        ("...😀", "none"),
        ("", "none"),
    ],
)
def test_the_language_is_portuguese_by_its_own_words(text: str, expected: str) -> None:
    assert language(text) == expected
