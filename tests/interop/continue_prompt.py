# SPDX-License-Identifier: MIT
"""A directory that `train` wrote, opened by Hugging Face transformers: same tokens of a prompt, same continuation.

continue_prompt.py PROGRAMS: PROGRAMS holds prepare, train and generate. Exit status 77 (skipped) without transformers.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

PROGRAMS = Path(sys.argv[1])
PROMPT = "The cat , isn't  caf\u00e9"  # blanks that a clean-up would touch, and a letter of two bytes
TEXT = "The cat sat on the mat. The dog, a good one, ran after the cat!\n" * 40
NEW = 40


def run(program: str, *flags: str) -> str:
    done = subprocess.run([PROGRAMS / program, *flags], capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {flags}: {done.stderr}"
    return done.stdout


def main() -> None:
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        text, data, model = (os.path.join(folder, name) for name in ("text.txt", "data", "model"))
        Path(text).write_text(TEXT, encoding="utf-8")
        run("prepare", "--input", text, "--tokenizer", "bytes", "--validation", "0.2", "--output", data)
        run(
            "train", "--data", data, "--model", "shakespeare", "--out", model,
            *"--steps 60 --seq-len 64 --batch-size 4 --lr 4e-3 --warmup 5 --eval-batches 1".split(),
        )  # fmt: skip
        ours = json.loads(
            run("generate", "-m", model, "-p", PROMPT, "-n", str(NEW), "--temp", "0", "--ignore-eos", "--json")
        )

        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        prompt = tokenizer(PROMPT, return_tensors="pt")
        begin = network.config.bos_token_id
        assert prompt.input_ids[0].tolist() == [begin, *PROMPT.encode()], prompt.input_ids
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (begin, network.config.eos_token_id)
        written = network.generate(
            **prompt, max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=begin
        )[0, prompt.input_ids.shape[1] :]
        theirs = tokenizer.decode(written)
        assert theirs == ours["text"], f"transformers wrote {theirs!r}, generate {ours!r}"
        print(f"transformers {transformers.__version__} continues as generate does: {theirs!r}")


main()
