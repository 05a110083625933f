# SPDX-License-Identifier: MIT
"""Models that `export` writes, run by llama.cpp: the same logits, the same tokens of a text, the same continuation.

llama_cpp.py PROGRAMS [MODELS LLAMA]: PROGRAMS holds make_stories, prepare, train, generate and export; MODELS is
exported_models.cpp, LLAMA llama_cpp.cpp. Exit status 77 (skipped) without them.
"""

import array
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = Path(sys.argv[1])
# Both sides compute in float32; these are logits of two hundred products and sums in other orders.
TOLERANCE = 5e-6
# What llama.cpp cannot compute, and export must not write.
REFUSED = {
    "extended_latent_epsilon", "extended_shared_width", "extended_zero_mask", "v2_groups", "v3_attention_factor",
    "v3_without_shared_expert", "v3_yarn_tied",
}  # fmt: skip
PROMPTS = ["Once upon a time", "One day", "The bear"]
TEXT = "It's 1234567 o'clock,  isn't it?\n\n\tCaf\u00e9 na\u00efve \u4f60\u597d \U0001f600 x=[1,22,333];   \r\nend "
NEW = 200


def run(*command: object, stdin: str = "") -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, input=stdin.encode())
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode()


def ids(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def rows(text: str) -> list[list[float]]:
    return [[float(number) for number in row.split()] for row in text.splitlines()]


def random_models(folder: Path, models: str, llama: str) -> None:
    tokens = [(7 * i * i + 3 * i + 1) % 60 for i in range(40)]
    run(models, folder)
    refused = set()
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        command = [PROGRAMS / "export", path, "--gguf", f"{path}.gguf", "--no-tokenizer"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            assert "deepseek2 cannot compute this model" in done.stderr, done.stderr
            refused.add(path.name)
            continue
        theirs, ours = rows(run(llama, "score", f"{path}.gguf", *tokens)), rows(Path(f"{path}.logits").read_text())
        assert [len(row) for row in theirs] == [len(row) for row in ours]
        largest = max(abs(x) for row in ours for x in row)
        error = max(abs(a - b) for x, y in zip(ours, theirs) for a, b in zip(x, y)) / largest
        print(f"{path.name}: {error:.1e}")
        assert error < TOLERANCE, f"{path.name}: logits differ by {error} of the largest"
    assert refused == REFUSED, f"refused: {refused}"


def trained_model(folder: Path, llama: str) -> None:
    corpus, data, model, text = (folder / name for name in ("corpus.txt", "data", "model", "text.txt"))
    run(PROGRAMS / "make_stories", "--output", corpus, "--force")
    run(PROGRAMS / "prepare", "--input", corpus, "--tokenizer", "train:1536", "--output", data)
    run(PROGRAMS / "train", "--data", data, "--model", "quickstart", "--out", model, "--steps", "400", "--eval-batches", "1")
    files = {kind: folder / f"{kind}.gguf" for kind in ("f32", "bf16", "q8_0")}
    for kind, path in files.items():
        run(PROGRAMS / "export", model, "--gguf", path, "--type", kind)

    # The tokens of a text: what prepare writes, but for the end of the document and what it kept for validation.
    text.write_bytes(TEXT.encode())
    run(PROGRAMS / "prepare", "--input", text, "--tokenizer", model, "--output", folder / "tokens", "--validation", "0.4")
    ours = [
        array.array("H", (folder / "tokens" / name).read_bytes()).tolist() for name in ("train.bin", "validation.bin")
    ]
    for part in ours:
        assert part.pop() == json.loads((model / "config.json").read_text())["eos_token_id"]
    print(f"tokens of a text: {ours}")
    assert ids(run(llama, "encode", files["f32"], stdin=TEXT)) == sum(ours, []), "llama.cpp encodes otherwise"

    begin = json.loads((model / "config.json").read_text())["bos_token_id"]
    agree, count = {kind: 0 for kind in files}, 0
    for prompt in PROMPTS:
        flags = ["-m", model, "-p", prompt, "-n", NEW, "--temp", "0", "--json"]
        told = json.loads(run(PROGRAMS / "generate", *flags))["text"]
        tokens = [begin, *ids(run(llama, "encode", files["f32"], stdin=prompt))]
        line, theirs = run(llama, "continue", files["f32"], NEW, *tokens).split("\n", 1)
        assert theirs == told, f"llama.cpp wrote {theirs!r}, generate {told!r}"
        print(f"{prompt}{told!r}")
        written = ids(line)
        count += len(written)
        for kind, path in files.items():
            scores = rows(run(llama, "score", path, *tokens, *written))[len(tokens) - 1 : -1]
            agree[kind] += sum(row.index(max(row)) == token for row, token in zip(scores, written))
    for kind, same in agree.items():
        print(f"{kind}: {same} of {count} most likely tokens are those of generate")
    assert count >= 100 and agree["f32"] == count and min(agree.values()) >= 0.9 * count


def main() -> None:
    if len(sys.argv) < 4:
        print("skipped: configure with -DDEEPSEEK_LLAMA_CPP=<a llama.cpp tree with its libraries in build/bin>")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        random_models(Path(folder), *sys.argv[2:4])
        trained_model(Path(folder), sys.argv[3])


main()
