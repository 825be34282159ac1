"""What synthetic people write, where they live and what is sold: plain Portuguese, accents, emoji and all."""

from __future__ import annotations

PHRASES: tuple[str, ...] = (
    "Produto excelente",
    "chegou antes do prazo",
    "recomendo",
    "muito bom",
    "não recebi o produto",
    "a entrega atrasou",
    "veio com defeito",
    "ótima qualidade",
    "adorei a cor",
    "o tamanho não serviu",
    "loja confiável",
    "comprarei de novo",
    "a embalagem estava amassada",
    "recebi só um dos dois itens",
    "aguardo a resposta da loja",
    "não é igual à foto",
    "bom custo-benefício",
    "minha mãe gostou",
    "funcionou na primeira vez",
    "péssimo atendimento",
    "já é a terceira vez que compro",
    "o correio deixou no vizinho",
    "esperava mais pelo preço",
    "tudo certo até agora",
    "quero trocar o produto",
    "nota fiscal não veio",
    "perfeito para a cozinha",
    "o manual está em inglês",
    "chegou em três dias",
    "superou minhas expectativas",
)
TITLES: tuple[str, ...] = (
    "Recomendo",
    "Muito bom",
    "Não recebi",
    "Ótimo",
    "Atrasou",
    "super recomendo",
    "Péssimo",
    "👍👍",
)
NUMBERS: tuple[str, ...] = ("10", "5", "100", "1000000", "007", "9.5")
BLANKS: tuple[str, ...] = (" ", "  ", "\r\n", "\r\n\r\n ")
EMOJI: tuple[str, ...] = ("😀", "👏🏻", "😡", "❤️", "🎁")

# (with accents, without): a zip prefix's points spell its city either way.
CITIES: tuple[tuple[str, str, str], ...] = (
    ("são paulo", "sao paulo", "SP"),
    ("campinas", "campinas", "SP"),
    ("ribeirão preto", "ribeirao preto", "SP"),
    ("santa bárbara d'oeste", "santa barbara d'oeste", "SP"),
    ("rio de janeiro", "rio de janeiro", "RJ"),
    ("niterói", "niteroi", "RJ"),
    ("belo horizonte", "belo horizonte", "MG"),
    ("uberlândia", "uberlandia", "MG"),
    ("porto alegre", "porto alegre", "RS"),
    ("curitiba", "curitiba", "PR"),
    ("florianópolis", "florianopolis", "SC"),
    ("salvador", "salvador", "BA"),
    ("brasília", "brasilia", "DF"),
    ("vitória", "vitoria", "ES"),
    ("goiânia", "goiania", "GO"),
    ("recife", "recife", "PE"),
    ("fortaleza", "fortaleza", "CE"),
    ("belém", "belem", "PA"),
)
CITY_WEIGHTS: tuple[int, ...] = (24, 9, 6, 3, 10, 3, 8, 4, 6, 5, 4, 3, 2, 2, 2, 2, 1, 1)

CATEGORIES: tuple[tuple[str, str | None], ...] = (
    ("brinquedos", "toys"),
    ("beleza", "beauty"),
    ("banho", "bath"),
    ("esporte", "sports"),
    ("moveis", "furniture"),
    ("relogios", "watches"),
    ("telefonia", "telephony"),
    ("livros", "books"),
    ("ferramentas", "tools"),
    ("jardim", "garden"),
    ("bebes", "baby"),
    ("cozinha", "kitchen"),
    ("musica", "music"),
    ("alimentos", "food"),
    ("papelaria", "stationery"),
    ("consoles", "consoles"),
    ("malas", "luggage"),
    ("cama_e_mesa", "bed_and_table"),
    ("jogos_de_computador", None),
    ("portateis_de_cozinha", None),
)
