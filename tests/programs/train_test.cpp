// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer_json.hpp>

#include "program.hpp"
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

using namespace deepseek_tests;
namespace fs = std::filesystem;

namespace {

bool equal_files(fs::path const& a, fs::path const& b) {
    return deepseek::read_file(a) == deepseek::read_file(b);
}

std::vector<nlohmann::json> lines_of(fs::path const& file) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(deepseek::read_file(file));
    for (std::string line; std::getline(text, line);) {
        lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
}

// A copy of the data that a test may damage.
fs::path copy_of_data(ScratchDirectory const& directory) {
    fs::copy(story_data(), directory / "data");
    return directory / "data";
}

std::string train_on(fs::path const& data, fs::path const& out, std::string const& more = {}) {
    return "train --model quickstart --steps 1 --batch-size 1 --seq-len 16 --data " + word(data) + " --out " +
           word(out) + " " + more;
}

// Tokens as other programs write them: behind a header of 256 numbers, if any.
template <class Stored>
void write_tokens(fs::path const& file, std::vector<std::int32_t> header,
                  std::span<std::uint16_t const> ids) {
    header.resize(header.empty() ? 0 : 256);
    std::vector<Stored> const stored(ids.begin(), ids.end());
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<char const*>(header.data()), static_cast<std::streamsize>(4 * header.size()))
        .write(reinterpret_cast<char const*>(stored.data()),
               static_cast<std::streamsize>(stored.size() * sizeof(Stored)));
}

}  // namespace

TEST_CASE("train: writes a model that can be run and continued, and says what it does") {
    ScratchDirectory const directory;
    auto const done = run_program(train_command(directory / "m", "--steps 3"));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK(mentions(done.out, "step 1/3 | loss ", "(main ", " mtp ", "| norm ", "| lr ", " ms | ",
                   " tok/s | mfu ", "| moe max/mean ", "| eta "));
    CHECK(mentions(done.out, "eval 3/3 | validation loss ", "save 3/3 | "));
    CHECK(mentions(done.out, "1 threads, compiled for ", "matrix products at "));
    for (char const* name :
         {"config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors", "trainer.json"}) {
        CHECK_MESSAGE(fs::exists(directory / "m" / name), name);
    }
    CHECK(done.err.find("token ids") != std::string::npos);  // 257 of the model's 1536: worth a word
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) ==
          2);  // m, m-best, and nothing else is left
}

TEST_CASE("train: a run that was stopped and resumed is the uninterrupted run, byte for byte") {
    ScratchDirectory const directory;
    auto const flags = std::string("--steps 6 --dropout 0.1 --grad-accum 2");
    REQUIRE(run_program(train_command(directory / "whole", flags)).status == 0);

    auto const first = run_program(train_command(directory / "parts", flags + " --max-minutes 0.0001"));
    REQUIRE_MESSAGE(first.status == 0, first.err);
    CHECK(mentions(first.out, "the time is over after step 1", "--resume"));
    CHECK_FALSE(equal_files(directory / "whole/model.safetensors", directory / "parts/model.safetensors"));

    // The run's flags are its own: resuming needs none.
    auto const second = run_program("train --resume --threads 1 --out " + word(directory / "parts"));
    REQUIRE_MESSAGE(second.status == 0, second.err);
    CHECK(mentions(second.out, "at step 1", "step 6/6"));
    for (char const* name : {"model.safetensors", "optimizer.safetensors"}) {
        CHECK_MESSAGE(equal_files(directory / "whole" / name, directory / "parts" / name), name);
    }

    auto const again = run_program("train --resume --out " + word(directory / "parts"));
    CHECK(again.status == 0);
    CHECK(mentions(again.out, "already has its 6 steps"));
}

TEST_CASE("train: two threads give the same bytes as one") {
    ScratchDirectory const directory;
    REQUIRE(run_program(train_command(directory / "one", "--steps 3")).status == 0);
    REQUIRE(run_program(train_command(directory / "two", "--steps 3 --threads 2")).status == 0);
    CHECK(equal_files(directory / "one/model.safetensors", directory / "two/model.safetensors"));
}

TEST_CASE("train: recomputation gives the same bytes") {
    ScratchDirectory const directory;
    REQUIRE(run_program(train_command(directory / "kept", "--steps 2")).status == 0);
    REQUIRE(run_program(train_command(directory / "again", "--steps 2 --recompute")).status == 0);
    CHECK(equal_files(directory / "kept/model.safetensors", directory / "again/model.safetensors"));
}

TEST_CASE("train: --dtype bf16 computes in bf16, keeps the run in float and the best model in bf16") {
    ScratchDirectory const directory;
    auto const flags = std::string("--eval-every 2 --dtype bf16 --steps ");
    auto const whole = run_program(train_command(directory / "whole", flags + "4"));
    REQUIRE_MESSAGE(whole.status == 0, whole.err);
    auto const weights = deepseek::read_file(directory / "whole" / "model.safetensors");
    auto const best = deepseek::read_file(directory / "whole-best" / "model.safetensors");
    CHECK(weights.find("\"F32\"") != std::string::npos);
    CHECK(weights.find("\"BF16\"") == std::string::npos);
    CHECK(best.find("\"BF16\"") != std::string::npos);
    CHECK(static_cast<double>(best.size()) < 0.51 * static_cast<double>(weights.size()));
    auto const told = run_program("generate -p Once -n 4 --temp 0 -m " + word(directory / "whole-best"));
    CHECK_MESSAGE(told.status == 0, told.err);

    // A stopped and resumed run is the uninterrupted one: what is learned is not rounded on its way through the files.
    REQUIRE(run_program(train_command(directory / "parts", flags + "4 --max-minutes 0.0001")).status == 0);
    auto const resumed = run_program("train --resume --threads 1 --out " + word(directory / "parts"));
    REQUIRE_MESSAGE(resumed.status == 0, resumed.err);
    CHECK(equal_files(directory / "whole/model.safetensors", directory / "parts/model.safetensors"));

    // Near what float32 gives, and not the same.
    auto const plain = run_program(train_command(directory / "plain", "--eval-every 2 --steps 4"));
    REQUIRE(plain.status == 0);
    CHECK(deepseek::read_file(directory / "plain" / "model.safetensors") != weights);
    auto const loss = [](std::string const& out) {
        auto const at = out.rfind("validation loss ");
        REQUIRE(at != std::string::npos);
        return std::stod(out.substr(at + 16));
    };
    CHECK(loss(whole.out) == doctest::Approx(loss(plain.out)).epsilon(0.01));
}

TEST_CASE("train: --documents tells texts apart, and needs to know the token between them") {
    ScratchDirectory const directory;
    // Windows long enough for the end of one story and the beginning of the next.
    auto const train = [&](char const* name, std::string const& more) {
        return run_program(
            "train --model quickstart --steps 1 --batch-size 4 --seq-len 256 --grad-accum 2 "
            "--eval-batches 1 --data " +
            word(story_data()) + " --out " + word(directory / name) + more);
    };
    REQUIRE(train("packed", "").status == 0);
    auto const done = train("apart", " --documents");
    REQUIRE_MESSAGE(done.status == 0, done.err);
    CHECK_FALSE(equal_files(directory / "packed/model.safetensors", directory / "apart/model.safetensors"));

    auto const data = copy_of_data(directory);
    fs::remove(data / "meta.json");
    auto const refused = run_program(train_on(data, directory / "m", "--documents"));
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "--documents needs to know the token between them", "end_of_text"));
    CHECK_FALSE(fs::exists(directory / "m"));
}

TEST_CASE("train: a signal saves the run and prints how to continue it") {
    for (int const number : {SIGINT, SIGTERM}) {
        ScratchDirectory const directory;
        Process run(train_command(directory / "m", "--steps 1000000"));
        REQUIRE(run.wait_for("step 2/1000000"));
        run.signal(number);
        auto const done = run.wait();
        CHECK(done.status == 0);
        CHECK(mentions(done.out, "interrupted after step ",
                       "/train --out " + (directory / "m").native() + " --resume"));
        auto const state = nlohmann::json::parse(deepseek::read_file(directory / "m/trainer.json"));
        auto const step = state["step"].get<int>();
        CHECK(step >= 2);
        // The command does what it promises.
        auto const begin = done.out.rfind("/train --out ") + 1;
        auto const command = done.out.substr(begin, done.out.find('\n', begin) - begin);
        auto const more = run_program(command + " --threads 1 --steps " + std::to_string(step + 1));
        CHECK_MESSAGE(more.status == 0, more.err);
        CHECK(mentions(more.out, "at step " + std::to_string(step), "save " + std::to_string(step + 1)));
    }
}

TEST_CASE("train: --max-minutes without --steps ends the schedule with the time") {
    ScratchDirectory const directory;
    auto const done = run_program(
        train_command(directory / "m", "--max-minutes 0.03 --jsonl " + word(directory / "log.jsonl")));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    auto const lines = lines_of(directory / "log.jsonl");
    nlohmann::json last;
    for (auto const& line : lines) {
        last = line["kind"] == "step" ? line : last;
    }
    REQUIRE(last.is_object());
    CHECK(last["step"] == last["total"]);
    CHECK(last["step"].get<int>() > 1);
}

TEST_CASE("train: --jsonl holds what the progress lines say, and a resumed run goes on in it") {
    ScratchDirectory const directory;
    auto const log = directory / "log.jsonl";
    auto const more = "--eval-every 1 --jsonl " + word(log);
    REQUIRE(run_program(train_command(directory / "m", "--steps 2 " + more)).status == 0);
    REQUIRE(run_program("train --steps 3 --resume --out " + word(directory / "m") + " --jsonl " + word(log))
                .status == 0);
    std::string kinds;
    for (auto const& line : lines_of(log)) {
        kinds += line["kind"].get<std::string>() + line["step"].dump() + " ";
        if (line["kind"] == "step") {
            CHECK(line["mtp"].size() == 1);
            CHECK(line["loss"].get<double>() > line["main"].get<double>());
            CHECK(line["moe_max_over_mean"].get<double>() >= 1);
        }
    }
    CHECK(kinds == "step1 eval1 step2 eval2 save2 step3 eval3 save3 ");
}

TEST_CASE("train: --quiet leaves stdout empty") {
    ScratchDirectory const directory;
    auto const done = run_program(train_command(directory / "m", "--steps 1 --quiet"));
    CHECK(done.status == 0);
    CHECK(done.out.empty());
}

TEST_CASE("train: --overfit drives the loss of one batch down") {
    ScratchDirectory const directory;
    auto const log = directory / "log.jsonl";
    auto const done = run_program(train_command(
        directory / "m",
        "--overfit --steps 60 --warmup 5 --lr 5e-3 --weight-decay 0 --eval-every 1000 --jsonl " + word(log)));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    auto const lines = lines_of(log);
    std::vector<double> losses;
    for (auto const& line : lines) {
        if (line["kind"] == "step") {
            losses.push_back(line["main"].get<double>());
        }
    }
    REQUIRE(losses.size() == 60);
    CHECK(losses.front() > 6);
    CHECK(losses.back() < 0.1);
}

TEST_CASE("train: --dry-run says what a run would take and writes nothing") {
    auto const done = run_program("train --model quickstart --dry-run --batch-size 4 --seq-len 64");
    CHECK(done.status == 0);
    CHECK(mentions(done.out, "parameters", "activations", "FLOP per token", "per checkpoint"));
    CHECK(done.err.empty());
    auto const longer = run_program("train --model quickstart --dry-run --batch-size 8 --seq-len 64");
    CHECK(longer.out != done.out);
}

TEST_CASE("train: wrong command lines end with status 2, the reason, and no output") {
    ScratchDirectory const directory;
    auto const refused = [&](std::string const& flags, auto const&... parts) {
        auto const done = run_program(train_command(directory / "m", flags));
        CHECK_MESSAGE(done.status == 2, flags);
        CHECK_MESSAGE(mentions(done.err, parts...), done.err);
        CHECK(done.out.empty());
        CHECK_FALSE(fs::exists(directory / "m"));
    };
    refused("--stesp 3", "unknown flag --stesp", "--steps");
    refused("--steps=-3", "--steps", "-3");
    refused("--steps 2.5", "--steps", "2.5");
    refused("--batch_size 0", "--batch-size", "0");  // '_' and '-' are the same
    refused("--beta1 1.5", "beta1", "1.5");
    refused("--dropout 1", "dropout");
    refused("--lr -1", "learning rate");
    refused("--min-lr 1 --lr 0.1", "learning rate", "0.1");
    refused("--schedule sine", "--schedule", "sine");
    refused("--dtype float16", "--dtype", "float16");
    refused("--steps 0", "--max-minutes");
    refused("--steps 99999999999999999999", "--steps", "99999999999999999999");
    refused("--max-minutes nan", "--max-minutes", "nan");
    refused("--max-minutes -1", "--max-minutes", "-1");
    refused("--lr nan", "learning rate", "nan");
    refused("--grad-clip inf", "clip_norm", "inf");
    refused("--seed -1", "--seed", "-1");
    refused("--seed 18446744073709551616", "--seed", "18446744073709551616");
    refused("--threads 5000", "--threads", "5000");
    refused("--grad-accum 0", "--grad-accum", "0");
    refused("somewhere", "unexpected argument 'somewhere'");
    refused("--model gpt", "no model 'gpt'", "quickstart");

    CHECK(run_program("train").status == 2);
    CHECK(mentions(run_program("train --model quickstart --out x").err, "--data is required"));
    CHECK(mentions(run_program("train --model quickstart --data " + word(story_data())).err,
                   "--out is required"));
    CHECK(mentions(run_program("train --resume").err, "--out"));
}

TEST_CASE("train: a run that is there is not overwritten") {
    ScratchDirectory const directory;
    REQUIRE(run_program(train_command(directory / "m", "--steps 1")).status == 0);
    auto const before = deepseek::read_file(directory / "m/model.safetensors");
    auto const done = run_program(train_command(directory / "m", "--steps 1 --seed 7"));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, (directory / "m").native(), "already holds a model", "--resume"));
    CHECK(deepseek::read_file(directory / "m/model.safetensors") == before);
}

TEST_CASE("train: --resume auto begins a run where there is none, --resume alone does not") {
    ScratchDirectory const directory;
    auto const lost = run_program(train_command(directory / "m", "--steps 1 --resume"));
    CHECK(lost.status == 1);
    CHECK(mentions(lost.err, (directory / "m").native(), "no run to continue"));
    CHECK(run_program(train_command(directory / "m", "--steps 1 --resume auto")).status == 0);
    auto const more = run_program(train_command(directory / "m", "--steps 2 --resume auto"));
    CHECK(more.status == 0);
    CHECK(mentions(more.out, "at step 1", "step 2/2"));
    // A copy goes on elsewhere; the original stays.
    auto const copy = run_program("train --steps 3 --out " + word(directory / "copy") + " --resume " +
                                  word(directory / "m"));
    CHECK(copy.status == 0);
    CHECK(mentions(copy.out, "step 3/3"));
    CHECK(nlohmann::json::parse(deepseek::read_file(directory / "m/trainer.json"))["step"] == 2);
}

TEST_CASE("train: files of other programs, as shards, patterns and bare uint32, train the same run") {
    ScratchDirectory const directory;
    auto const data = copy_of_data(directory);
    auto const losses = [&](std::string const& from) {
        fs::remove_all(directory / "m");
        auto const done =
            run_program("train --model quickstart --out " + word(directory / "m") +
                        " --batch-size 2 --seq-len 16 --eval-batches 1 --log-every 1 --threads 1 "
                        "--steps 3 --no-best --jsonl " +
                        word(directory / "log") + " " + from);
        REQUIRE_MESSAGE(done.status == 0, done.err);
        std::vector<nlohmann::json> found;
        std::istringstream lines(deepseek::read_file(directory / "log"));
        for (std::string line; std::getline(lines, line);) {
            if (auto const entry = nlohmann::json::parse(line); entry.contains("loss")) {
                found.push_back(entry["loss"]);
            }
        }
        fs::remove(directory / "log");
        return found;
    };
    auto const expected = losses("--data " + word(data));
    REQUIRE(expected.size() >= 3);
    CHECK(losses("--data " + word(data) + " --shuffle window") != expected);
    // Bare uint32, and the shards of llm.c: the same tokens, cut in two.
    auto const bytes = deepseek::read_file(data / "train.bin");
    std::vector<std::uint16_t> ids(bytes.size() / 2);
    std::memcpy(ids.data(), bytes.data(), bytes.size());
    fs::create_directory(directory / "shards");
    fs::create_directory(directory / "wide");
    write_tokens<std::uint32_t>(directory / "wide/all.bin", {}, ids);
    auto const all = std::span<std::uint16_t const>(ids);
    write_tokens<std::uint16_t>(directory / "shards/s_train_000001.bin", {20240520, 1, 1001},
                                all.first(1001));
    auto const rest = all.subspan(1001);
    write_tokens<std::uint16_t>(directory / "shards/s_train_000002.bin",
                                {20240520, 1, static_cast<std::int32_t>(rest.size())}, rest);
    fs::copy_file(data / "validation.bin", directory / "shards/s_val_000000.bin");
    CHECK(losses("--data " + word(directory / "shards")) == expected);
    auto const validation = " --val-data " + word(data / "validation.bin");
    CHECK(losses("--data " + word(directory / "shards/s_train_*.bin") + validation) == expected);
    auto const wide = "--data " + word(directory / "wide/all.bin");
    auto const refused = [&](std::string const& flags) {
        auto const done =
            run_program("train --model quickstart --seq-len 16 --out " + word(directory / "n") + " " + flags);
        CHECK(done.status == 1);
        return done.err;
    };
    CHECK(mentions(refused(wide + validation), "all.bin", "must be uint32"));
    CHECK(mentions(refused("--data " + word(directory / "shards/*.none")), "*.none", "no such files"));
    CHECK(mentions(refused("--data " + word(data / "train.bin")), "--val-data"));
    fs::copy_file(directory / "wide/all.bin", directory / "wide/val.bin");
    CHECK(losses(wide + " --data-dtype uint32 --val-data " + word(directory / "wide")).front() ==
          expected.front());
}

TEST_CASE("train: missing and damaged data are named, and nothing is written") {
    auto const complaint = [](auto const& damage) {
        ScratchDirectory const directory;
        auto const data = copy_of_data(directory);
        damage(data);
        auto const done = run_program(train_on(data, directory / "m"));
        CHECK(done.status == 1);
        CHECK_FALSE(fs::exists(directory / "m"));
        return done.err;
    };
    CHECK(mentions(complaint([](auto const& data) { fs::remove_all(data); }), "data", "no such directory",
                   "prepare"));
    CHECK(mentions(complaint([](auto const& data) { fs::remove(data / "train.bin"); }),
                   "has neither train.bin", "*train*.bin"));
    CHECK(
        mentions(complaint([](auto const& data) { fs::remove(data / "validation.bin"); }), "validation.bin"));
    CHECK(mentions(complaint([](auto const& data) { fs::resize_file(data / "train.bin", 8); }), "meta.json",
                   "tokens in train.bin, which has 4", "do not belong together"));
    CHECK(mentions(complaint([](auto const& data) { cut_in_half(data / "tokenizer.json"); }), "meta.json",
                   "another tokenizer.json", "do not belong together"));
    // As other programs leave them, without a meta.json.
    auto const bare_complaint = [&](auto const& damage) {
        return complaint([&](auto const& data) {
            fs::remove(data / "meta.json");
            damage(data);
        });
    };
    CHECK(mentions(bare_complaint([](auto const& data) { fs::resize_file(data / "train.bin", 0); }),
                   "train.bin", "empty"));
    CHECK(mentions(bare_complaint([](auto const& data) { fs::resize_file(data / "train.bin", 7); }),
                   "train.bin", "7 bytes"));
    CHECK(mentions(bare_complaint([](auto const& data) { fs::resize_file(data / "train.bin", 8); }),
                   "train.bin", "4 tokens", "17"));
    CHECK(mentions(
        complaint([](auto const& data) { deepseek::write_file_atomically(data / "meta.json", "{"); }),
        "meta.json"));
    CHECK(mentions(bare_complaint([](auto const& data) { cut_in_half(data / "tokenizer.json"); }),
                   "tokenizer.json", "JSON"));
    CHECK(mentions(bare_complaint([](auto const& data) {
                       auto tokenizer = deepseek::text::load_tokenizer(data).data();
                       tokenizer.added.push_back({"<far>", 70'000});
                       deepseek::write_file_atomically(data / "tokenizer.json", to_tokenizer_json(tokenizer));
                   }),
                   "tokenizer.json", "70001 tokens", "quickstart", "1536"));
    CHECK(mentions(complaint([](auto const& data) {
                       deepseek::write_file_atomically(data / "meta.json",
                                                       R"({"dtype": "uint16", "vocabulary_size": 50257})");
                   }),
                   "meta.json", "50257", "quickstart", "1536"));
    CHECK(mentions(complaint([](auto const& data) {
                       fs::remove(data / "meta.json");
                       deepseek::write_file_atomically(data / "train.bin", std::string(4000, '\xFF'));
                   }),
                   "train.bin", "65535", "1536"));
}

TEST_CASE("train: damaged checkpoints are named and stay as they are") {
    auto const complaint = [](auto const& damage) {
        ScratchDirectory const directory;
        auto const run = directory / "m";
        REQUIRE(run_program(train_on(story_data(), run)).status == 0);
        damage(run);
        auto const before = deepseek::read_file(run / "model.safetensors");
        auto const done = run_program("train --steps 2 --resume --out " + word(run));
        CHECK(done.status == 1);
        CHECK(deepseek::read_file(run / "model.safetensors") == before);
        return done.err;
    };
    CHECK(mentions(complaint([](auto const& run) { cut_in_half(run / "model.safetensors"); }),
                   "model.safetensors"));
    CHECK(mentions(complaint([](auto const& run) { cut_in_half(run / "optimizer.safetensors"); }),
                   "optimizer.safetensors"));
    CHECK(mentions(complaint([](auto const& run) { cut_in_half(run / "trainer.json"); }), "trainer.json"));
    CHECK(mentions(complaint([](auto const& run) { fs::remove(run / "optimizer.safetensors"); }),
                   "optimizer.safetensors"));
    CHECK(mentions(complaint([](auto const& run) {
                       auto json = nlohmann::json::parse(deepseek::read_file(run / "trainer.json"));
                       json["options"]["lr"] = "fast";
                       deepseek::write_file_atomically(run / "trainer.json", json.dump());
                   }),
                   "trainer.json", "lr", "fast"));
    CHECK(mentions(complaint([](auto const& run) {
                       auto json = nlohmann::json::parse(deepseek::read_file(run / "config.json"));
                       json["hidden_size"] = 64;
                       deepseek::write_file_atomically(run / "config.json", json.dump());
                   }),
                   "config.json", "hidden_size", "64", "128"));
}

TEST_CASE("train: a run is not resumed as another model, nor with sequences too short for its modules") {
    ScratchDirectory const directory;
    REQUIRE(run_program(train_on(story_data(), directory / "m")).status == 0);
    auto const before = deepseek::read_file(directory / "m/model.safetensors");
    auto const other =
        run_program("train --steps 2 --resume --model shakespeare --out " + word(directory / "m"));
    CHECK(other.status == 1);
    CHECK(mentions(other.err, "config.json", "another model", "vocab_size: the file says 1536"));
    auto const brief = run_program("train --steps 2 --resume --seq-len 1 --out " + word(directory / "m"));
    CHECK(brief.status == 1);
    CHECK(mentions(brief.err, "--seq-len 1", "quickstart"));
    CHECK(deepseek::read_file(directory / "m/model.safetensors") == before);
}

TEST_CASE("train: a full disk leaves the checkpoint of a resumed run as it was") {
    ScratchDirectory const directory;
    auto const run = directory / "m";
    REQUIRE(run_program(train_on(story_data(), run)).status == 0);
    auto const before = deepseek::read_file(run / "model.safetensors");
    auto const resume = "train --steps 2 --resume --threads 1 --out " + word(run);
    {
        FileSizeLimit const limit(1 << 20);
        auto const done = run_program(resume);
        CHECK(done.status == 1);
        CHECK(mentions(done.err, "model.safetensors", "File too large"));
    }
    CHECK(deepseek::read_file(run / "model.safetensors") == before);
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 2);
    auto const done = run_program(resume);  // and it goes on from there when there is room
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(mentions(done.out, "at step 1", "step 2/2"));
}

TEST_CASE("train: a full disk behind a log does not end the run but is told") {
    if (!fs::exists("/dev/full")) {
        return skip("no /dev/full");
    }
    ScratchDirectory const directory;
    auto const log = run_program(train_command(directory / "a", "--steps 2 --jsonl /dev/full"));
    CHECK(log.status == 0);
    CHECK(mentions(log.err, "/dev/full: cannot write: No space left on device"));
    auto const out = run_program(train_command(directory / "b", "--steps 2 >/dev/full"));
    CHECK(out.status == 1);
    CHECK(mentions(out.err, "stdout: cannot write: No space left on device"));
    CHECK(equal_files(directory / "a/model.safetensors", directory / "b/model.safetensors"));
}

TEST_CASE("train: a full disk ends the run with the file's name and leaves no half of a model") {
    ScratchDirectory const directory;
    FileSizeLimit const limit(1 << 20);
    auto const done = run_program(train_on(story_data(), directory / "m"));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, "model.safetensors", "File too large"));
    CHECK(fs::is_empty(directory.path()));
}

TEST_CASE("train: a checkpoint that cannot be written does not end the run") {
    ScratchDirectory const directory;
    FileSizeLimit const limit(1 << 20);
    auto const done = run_program(train_command(directory / "m", "--steps 3 --save-every 1"));
    CHECK(done.status == 1);  // the last one is needed
    CHECK(mentions(done.err, "not saved: ", "File too large"));
    CHECK(mentions(done.out, "step 3/3"));
}

TEST_CASE("train: places that cannot be written are found before the work") {
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "file", "");
    auto const done = run_program(train_on(story_data(), directory / "file/m"));
    CHECK(done.status == 1);
    CHECK(mentions(done.err, (directory / "file").native()));
    CHECK(done.out.find("step 1") == std::string::npos);
    auto const log =
        run_program(train_on(story_data(), directory / "m", "--jsonl " + word(directory / "no/log")));
    CHECK(log.status == 1);
    CHECK(mentions(log.err, "no/log"));
}
