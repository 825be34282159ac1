"""Whether a text is Portuguese, by counting words that every Portuguese text has and others have not.

A small method for a shop in one country: one or two words of a list decide, and texts of a word or two ("Ótimo!") are
found by the shop's own commonest words. It does not tell other languages apart.
"""

from __future__ import annotations

from typing import Literal

from stream_apps.apps.lexicon.words import STOP, words

Language = Literal["pt", "other", "none"]

# Words of grammar, then what reviews are made of. "no", "me", "a", "on" are English or Spanish too and left out.
_PORTUGUESE = """
    o os as um uma de do da dos das em na nos nas ao pelo pela para pra com sem por que se e nao mas mais muito muita
    eu meu minha ja ate so foi ser era sao esta estou tem veio vem como quando ainda nem sim ele ela isso este esse
    voce voces tudo td nada bem antes depois dia dias tambem porque
    amei adorei gostei recomendo recebi chegou comprei produto produtos entrega entregue prazo loja compra pedido
    qualidade preco otimo otima bom boa perfeito perfeita excelente maravilhoso maravilhosa lindo linda rapido rapida
    pessimo pessima ruim satisfeito satisfeita parabens obrigado obrigada correto certo confiavel eficiente super legal
    show nota dez atraso atrasado errado defeito quebrado demora demorou agilidade pontual pontualidade aguardando
"""
_OTHERS = """
    the and of is was it this that with for not very good great product received delivery arrived i you my
    el los las una y muy pero lo es del producto llego bueno buena gracias con sin recibi todavia
"""
PORTUGUESE, OTHERS = frozenset(_PORTUGUESE.split()), frozenset(_OTHERS.split())


def language(text: str) -> Language:
    """`pt`; `other` when other words are at least as many, or there is none of either; `none` without a letter."""
    found = [word for word in words(text) if word != STOP and not word.isdigit()]
    if not found:
        return "none"
    portuguese = sum(word in PORTUGUESE for word in found)
    return "pt" if portuguese > sum(word in OTHERS for word in found) else "other"
