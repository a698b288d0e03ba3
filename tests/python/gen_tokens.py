"""Ids and offsets of hard cases from transformers' tokenizer.

Writes OUT/tokens/vocab.txt, OUT/tokens/cases.json and, if BERT's vocabulary is available, OUT/tokens/bert-uncased.json
(only ids; the vocabulary is not distributed with this project). Run by `cargo xtask fixtures`.
"""

import json
import os
import sys
import unicodedata

from transformers import BertTokenizer

from common import bert_vocab

OUT = sys.argv[1] + "/tokens"
BERT = bert_vocab()
os.makedirs(OUT, exist_ok=True)

CASES = [
    "",
    " ",
    "The Café's 1790 unwantedness!",
    "CAFÉ café cafe\u0301 CAFE\u0301",
    "naïve façade Ångström Ærøskøbing Łódź",
    "İstanbul ISTANBUL ıstanbul i̇stanbul",
    "Straße STRASSE ß ẞ",
    "don't can't won't it's",
    "中文 字 混合text漢字mixed",
    "日本語のテキスト かな カナ",
    "한국어 텍스트",
    "𠀀𪜀 丽 豈",
    "a\u0000b\ufffdc\u0001d\u007fe\u0085f",
    "tab\tnew\nline\rreturn\u00a0nbsp\u2003em\u3000ideographic",
    "zero\u200bwidth\u200cjoin\u200der\ufeffbom\u00adsoft",
    "e\u0301\u0302\u0303 n\u0303 \u0301 alone",
    "😀 emoji👍🏽 👨‍👩‍👧 flags🇩🇪",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101 + " " + "x" * 200,
    "é" * 100 + " " + "é" * 101,
    "[MASK] [CLS] [SEP] [PAD] [UNK] [mask] [ MASK ]",
    "##s ## #s word##s",
    "!!! ... ??? --- ___ $5 £5 €5 5% 1+1=2 <a> ~^`|",
    "“curly” ‘quotes’ — dashes – … ¿qué? ¡ya!",
    "٠١٢ १२३ Ⅷ ½ ² ﬁ ﬂ Ǆ",
    "Ελληνικά ΣΊΣΥΦΟΣ ς Русский ЁЖ עברית العربية हिन्दी ไทย",
    "\u2028line\u2029paragraph\u180evowel",
    "A.B.C. U.S.A. e.g. i.e. http://a.b/c?d=e&f=g user@host.org",
    "unaffable unwanted unknownwordzz qqqq",
    "Ⓐ ｆｕｌｌ ＡＢＣ １２３ ﾊﾝ",
    "\ud7ff \ue000 \uf8ff private",
    "𝐁𝐨𝐥𝐝 𝕏 ℌ",
    "x\u0300" * 30,
]

alphabet = sorted({c for text in CASES for c in text + text.lower() + unicodedata.normalize("NFD", text.lower())
                   if not c.isspace() and unicodedata.category(c)[0] != "C"})
kept = [c for i, c in enumerate(alphabet) if i % 5 != 0 or c.isascii()]
words = ["the", "The", "cafe", "café", "CAFE", "un", "want", "##want", "##ed", "##ness", "##able", "##aff", "ist",
         "##an", "##bul", "stra", "##ss", "##e", "text", "##text", "don", "it", "line", "word", "##s"]
tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
for token in words + kept + [f"##{c}" for c in kept]:
    if token not in tokens:
        tokens.append(token)
with open(f"{OUT}/vocab.txt", "w", encoding="utf-8", newline="\n") as file:
    file.write("".join(f"{token}\n" for token in tokens))


def encode(folder, lower, accents):
    tokenizer = BertTokenizer(
        vocab=f"{folder}", do_lower_case=lower, strip_accents=accents, tokenize_chinese_chars=True
    )
    # Encode special tokens in a text as ordinary text, as the reference does.
    tokenizer.backend_tokenizer.encode_special_tokens = True
    rows = []
    for text in CASES:
        encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        rows.append({"ids": encoding.ids, "offsets": [list(pair) for pair in encoding.offsets]})
    return rows


settings = []
for lower in (True, False):
    for accents in (None, True, False):
        rows = encode(f"{OUT}/vocab.txt", lower, accents)
        settings.append({"lower": lower, "strip_accents": accents, "rows": rows})
with open(f"{OUT}/cases.json", "w", encoding="utf-8") as file:
    json.dump({"texts": CASES, "settings": settings}, file, separators=(",", ":"))
if BERT:
    rows = [row["ids"] for row in encode(BERT, True, None)]
    with open(f"{OUT}/bert-uncased.json", "w", encoding="utf-8") as file:
        json.dump({"ids": rows}, file, separators=(",", ":"))
