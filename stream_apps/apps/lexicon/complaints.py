"""What a Portuguese review complains of, by phrases.

A phrase is folded words in order (`words.folded`): ``quebrad*`` is any ending, ``chegou|veio`` one of several, ``..``
up to four words between. Phrases never reach over the end of a sentence.

Topics are tried in the order below and a phrase keeps the words it matched: "não recebi resposta" is `seller_contact`
and no longer `not_received`, "não chegou no prazo" is late and not lost.

Negation: a phrase of a `negatable` topic does not count when one of the three words before it, in the same sentence, is
a negator ("sem atraso", "não veio quebrado"). Phrases that hold a negator say so themselves. Irony, "não só", and who
is to blame are beyond it.

Measured on the real data set: of 2,311 reviews with one or two stars and a text, 86 % get a topic (56 % with three
stars, 8 % with four or five, most of which do complain). In 75 random ones of one or two stars, read by hand, 106
of 111 topics were right (95 %). What is missed is mostly "I bought blue, green came" in their own names, and opinion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from stream_apps.apps.lexicon.words import STOP, words

NEGATORS = frozenset({"nao", "nunca", "jamais", "nem", "sem", "nenhum", "nenhuma", "zero"})
GAP = r"(?: [^ .]+){0,4}?"
_DENIAL = re.compile(rf" (?:{'|'.join(sorted(NEGATORS))})(?: [^ .]+){{0,2}}$")


@dataclass(frozen=True)
class Topic:
    """A name and the phrases that stand for it."""

    name: str
    phrases: tuple[str, ...]
    negatable: bool = True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All phrases as one expression over words with one space around each."""
        return re.compile("|".join(f"(?:{_expression(phrase)})" for phrase in self.phrases))


def _expression(phrase: str) -> str:
    """``nao .. receb*`` as a regular expression that begins and ends between words."""
    parts = []
    for word in phrase.split():
        options = [re.escape(option).replace(r"\*", r"[^ .]*") for option in word.split("|")]
        parts.append(GAP if word == ".." else f" (?:{'|'.join(options)})")
    return "".join(parts) + "(?= )"


TOPICS: tuple[Topic, ...] = (
    Topic(
        "seller_contact",
        (
            "nao|nem|sem|nunca|ninguem|nenhum|nenhuma|nada|dificuldade .. respond*|respost*|retorn*|contato|satisfac*",
            "nao|nem|sem|nunca|ninguem|nenhum|nenhuma .. informac*|informou|informaram|posicao|posicionament*|solucao",
            "nao|nem|sem|nunca|ninguem|nenhum|nenhuma .. atende*|comunic*|avis*|explic*|manifest*|notifica*|resolv*",
            "nao|nunca consigo|consegui|consegue .. falar|contat*|resolver|rastrear",
            "tentei|tento|tentando|tentativa* .. contat*|falar|resolver",
            "aguardo|aguardando|espero|esperando|quero|solicito .. retorno|resposta|contato|posic*|solucao",
            "favor .. contato|retorno|resposta|posic*|solucao",
            "entrei|entrar|entrado em contato",
            "enviei|mandei .. email*|mail*|mensage*",
            "pessimo|pessima|horrivel|mau atendimento",
            "atendimento .. pessimo|ruim|horrivel|lento",
            "falta de respeito|comunicac*|informac*|compromisso|consideracao|retorno|responsabilidade|resposta|atencao",
            "descaso",
            "desrespeito",
            "reclamac*",
            "reclamei",
            "ouvidoria",
            "sac",
        ),
        negatable=False,
    ),
    Topic(
        "refund",
        (
            "devol*",
            "reembols*",
            "rembols*",
            "estorn*",
            "extorn*",
            "ressarc*",
            "dinheiro|valor .. de volta",
            "meu dinheiro",
            "cancel*",
            "vale troca|compra|compras",
            "troca",
            "efetuar|fazer|solicit*|pedi|quero trocar",
            "troquem",
            "trocassem",
        ),
        negatable=False,
    ),
    Topic(
        "out_of_stock",
        (
            "sem|falta|fora|nao .. estoque",
            "esgotad*",
            "esgotou",
            "indisponi*",
            "nao .. disponivel",
        ),
        negatable=False,
    ),
    Topic(
        "missing_part",
        (
            "falta|faltou|faltando|faltaram|faltam|faltava",
            "incomplet*",
            "parcial*",
            "quantidade errada|menor|inferior|incorreta",
            "metade",
            "so|apenas|somente .. recebi|veio|vieram|chegou|chegaram|entregaram|entregue|enviaram|mandaram|mandarao",
            "recebi|recebemos|veio|vieram|chegou|chegaram|entregaram|entregue|enviaram|mandaram .. so|apenas|somente",
            "nao|nem .. recebi|veio|vieram|chegou|chegaram|entreg*|enviaram|mandaram .. nota|nf|notas",
            "nao|nem .. recebi|veio|vieram|enviaram|mandaram .. manual|carregador|parafuso*|acessorio*|tampa",
            "sem|nem a|as|o|os|uma|um peca|pecas|manual|carregador|parafusos|tampa|bateria|pilha|controle",
            "sem|nem|nao|cade .. nota|notas fiscal|fiscais",
            "nao|nem .. recebi|veio|vieram|chegou|chegaram|entreg*|enviaram|mandaram .. outr*|segund*|todos|todas",
            "outr*|segund*|restante .. nao .. recebi|veio|vieram|chegou|chegaram|entreg*",
            "nao|sem manual|acompanha|acompanhava|carregador|parafuso*|instruc*|acessorio*|controle|tampa",
            "um|uma dos|das .. nao|faltou|faltando",
        ),
    ),
    Topic(
        "counterfeit",
        (
            "falsific*",
            "falso|falsa|falsos|falsas",
            "pirata|piratas|pirataria",
            "replica|replicas",
            "imitac*",
            "nao .. original|originais|genuin*|autentic*",
            "paralelo|paralela",
        ),
    ),
    Topic(
        "wrong_product",
        (
            "errad*",
            "incorret*",
            "trocado|trocada|trocados|trocadas",
            "diferente|diferentes",
            "divergente",
            "enganos*",
            "enganado|enganada",
            "em desacordo",
            "cor|preto|preta|branco|branca|azul|rosa|dourado .. e veio|recebi|mandaram|entregaram|enviaram|chegou",
            "entregue|veio|recebi|mandaram|entregaram|enviaram|chegou na cor",
            "veio|recebi|recebido|mandaram|entregaram|enviaram|chegou outra|outro",
            "veio .. outra|outro",
            "incompativel|incompatibilidade",
            "outr* cor|marca|modelo|tamanho|mercadoria|numeracao",
            "veio|recebi|mandaram|entregaram|enviaram|chegou .. outro produto",
            "nao e|era|foi .. que .. comprei|pedi|escolhi|encomendei|solicitei|anunci*|esperava|imaginava",
            "nao .. corresponde*|confere*|condiz*|correto|correta|certo|serviu",
            "nao .. igual|conforme|acordo|assim",
            "nada .. ver",
            "menor|maior .. que .. anunci*|esperava|imaginava|foto|pedi|comprei",
        ),
    ),
    Topic(
        "damaged",
        (
            "quebrad*|quebrou|quebraram|quebra|quebrando",
            "defeit*",
            "danific*",
            "amassad*",
            "arranhad*|riscad*|manchad*|rasgad*|rachad*|trincad*|furad*|estragad*|mofad*|oxidad*|enferruj*|torto|torta|entortad*",
            "sujo|suja|sujos|sujas|sujeira|molhad*|manchas|descascando|descascad*|estragou|estourou",
            "avari*",
            "violad*",
            "vazou|vazando|vazado|vazamento",
            "queimad*|queimou",
            "corrompid*",
            "descolad*|descolou|descolando|descost*|soltou|soltando|desmont*",
            "nao .. funcion*|funciana*",
            "parou .. funcionar",
            "nao liga|ligou|carrega|carregou|encaixa|encaixou",
            "veio|chegou|apresent*|com .. problema|problemas",
            "produto|aparelho|produtos usado|usados",
            "aparencia|sinais de uso|usado",
            "mal|mau embalad*",
        ),
    ),
    Topic(
        "poor_quality",
        (
            "ma|pessima|baixa|baixissima|pouca|terrivel|horrivel|ruim|inferior|duvidosa|fraca qualidade",
            "qualidade .. ruim|pessima|baixa|inferior|duvidosa|horrivel|terrivel|desejar|fraca|decepcion*",
            "nao|sem .. qualidade",
            "deixa|deixou|deixam a desejar",
            "fragil|frageis|fragilidade",
            "fraco|fraca|fracos|fracas|fraquinh*",
            "vagabund*",
            "lixo",
            "porcaria",
            "nao .. presta",
            "nao vale|valeu|valem",
            "produto .. ruim|pessimo|horrivel|horroroso",
            "pessimo|horrivel produto|material|acabamento",
            "material|tecido|acabamento .. ruim|pessimo|pobre|fino|inferior|horrivel",
            "mal acabad*|feito|feita|costurad*",
            "nao gostei .. produto|material|qualidade|tecido",
            "nao .. agradou",
            "decepcion*|decepcao",
        ),
    ),
    Topic(
        "late_delivery",
        (
            "atraso|atrasos|atrasou|atrasaram|atrasad*|atrasando",
            "demor*",
            "fora|depois|apos|alem .. prazo|previsto",
            "nao|nem|nunca|sem .. cumpr* .. prazo|prometido|entrega",
            "prazo .. nao|nem|nunca .. cumpr*",
            "nao .. entreg*|cheg*|receb* .. prazo|tempo|combinado|data|previsto",
            "prazo .. venceu|vencido|passou|acabou|esgotado|expir*|terminou|ultrapass*|excedid*|estour*|longo|absurd*",
            "prazo .. enorme|gigante|extenso|exagerad*",
            "passou|passaram|venceu|passando|estourou .. prazo|data|dias",
            "mais de .. dias|mes|meses|semanas",
            "muito tempo",
            "lerdo|lerda|lentidao|lento|lenta",
            "sem pontualidade",
        ),
    ),
    Topic(
        "not_received",
        (
            "nao|nunca|nem .. receb*|recib*",
            "nao|nunca|nem .. chega|chegou|chegaram|chegar|entreg*",
            "nao veio|vieram|enviaram|mandaram",
            "sem receber",
            "sem .. produto .. maos",
            "aguardando|aguardo|esperando|espero .. produto|produtos|entrega|pedido|mercadoria|chegar|chegada|receber",
            "estou|fico|continuo aguardando|esperando",
            "no aguardo",
            "cade",
            "onde .. produto|pedido|mercadoria|encomenda",
            "ate .. nada",
            "nada .. produto|entrega|pedido|chegar",
            "e nada",
            "nenhum sinal",
            "extravi*",
            "quando .. vou|vai|vao|irei|irao receber|entregar|chegar",
            "quando recebo|receberei|entregarao|chega|chegara",
            "gostaria|desejo .. receber|chegasse",
            "quero|preciso .. meu produto|pedido",
        ),
    ),
)
NAMES: tuple[str, ...] = tuple(sorted(topic.name for topic in TOPICS))


def topics(text: str) -> tuple[str, ...]:
    """The names of the topics a text speaks of, sorted."""
    left = f" {' '.join(words(text))} "
    found = set()
    for topic in TOPICS:
        left, spoken = _claimed(topic, left)
        if spoken:
            found.add(topic.name)
    return tuple(sorted(found))


def _claimed(topic: Topic, text: str) -> tuple[str, bool]:
    """The text without the topic's phrases and what denies them, and whether any phrase counts."""
    left, end, counts = "", 0, False
    for match in topic.pattern.finditer(text):
        before = text[end : match.start()]
        denial = _DENIAL.search(before) if topic.negatable and not NEGATORS & set(match[0].split()) else None
        left += f"{before[: denial.start()] if denial else before} {STOP}"
        end, counts = match.end(), counts or not denial
    return left + text[end:], counts
