// SPDX-License-Identifier: MIT
// labels: programs slow
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer_json.hpp>
#include <deepseek/text/utf8.hpp>

#include "program.hpp"
#include <nlohmann/json.hpp>
#include <poll.h>
#include <pty.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

using namespace deepseek_tests;
namespace fs = std::filesystem;

namespace {

// A model that has seen a little of the stories; made once.
fs::path model() {
    static ScratchDirectory const directory;
    auto const path = directory / "m";
    if (!fs::exists(path)) {
        auto const done = run_program(train_command(path, "--steps 40 --warmup 5 --lr 5e-3"));
        REQUIRE_MESSAGE(done.status == 0, done.err);
    }
    return path;
}

// A copy of the model that a test may damage.
fs::path copy_of_model(ScratchDirectory const& directory) {
    fs::copy(model(), directory / "m");
    return directory / "m";
}

std::string generate(std::string const& flags) {
    return "generate --threads 1 -m " + word(model()) + " " + flags;
}

std::string text_of(std::string const& flags) {
    auto const done = run_program(generate(flags));
    REQUIRE_MESSAGE(done.status == 0, done.err);
    return done.out;
}

nlohmann::json json_of(std::string const& flags) { return nlohmann::json::parse(text_of(flags + " --json")); }

}  // namespace

TEST_CASE("generate: text goes to stdout, statistics to stderr") {
    auto const done = run_program(generate("-p 'Once upon' -n 12 --temp 0"));
    CHECK(done.status == 0);
    CHECK(done.out.starts_with("Once upon"));
    CHECK(done.out.ends_with("\n"));
    CHECK(mentions(done.err, "prompt 10 tokens", "reply 12 tokens", "tok/s", "per token",
                   "seed"));  // 9 bytes and a begin
    CHECK(done.out.find("tok/s") == std::string::npos);
    CHECK("Once upon" + text_of("-p 'Once upon' -n 12 --temp 0 --no-display-prompt") == done.out);
}

TEST_CASE("generate: greedy text is the same at every call and for any number of threads") {
    auto const first = text_of("-p 'Once' -n 40 --temp 0");
    CHECK(first == text_of("-p 'Once' -n 40 --temp 0 --seed 5"));
    CHECK(first == text_of("-p 'Once' -n 40 --temp 0 --threads 2"));
}

TEST_CASE("generate: a shorter reply is the beginning of a longer one, whatever is read at once") {
    // Continuing what was generated reads it in one piece instead of token by token.
    auto const all = json_of("-p 'Once upon a time' -n 24 --temp 0");
    auto const half = json_of("-p 'Once upon a time' -n 12 --temp 0");
    auto const begun = half["text"].get<std::string>();
    CHECK(all["text"].get<std::string>().starts_with(begun));
    auto const rest = json_of("-n 12 --temp 0 -p " + word("Once upon a time" + begun));
    CHECK(begun + rest["text"].get<std::string>() == all["text"]);
}

TEST_CASE("generate: the seed decides the text, and samples count it up") {
    auto const one = text_of("-p 'The' -n 30 --temp 1 --seed 1");
    CHECK(one == text_of("-p 'The' -n 30 --temp 1 --seed 1"));
    auto const two = text_of("-p 'The' -n 30 --temp 1 --seed 2");
    CHECK(one != two);
    CHECK(text_of("-p 'The' -n 30 --temp 1 --seed 1 --num-samples 2") == one + "---\n" + two);
    // A random seed is told, and gives the text again.
    auto const any = json_of("-p 'The' -n 30 --temp 1");
    CHECK(any["text"] == json_of("-p 'The' -n 30 --temp 1 --seed " + any["seed"].dump())["text"]);
}

TEST_CASE("generate: sampling flags reach the sampler") {
    auto const greedy = text_of("-p 'The' -n 30 --temp 0");
    CHECK(greedy == text_of("-p 'The' -n 30 --temp 2 --top-k 1"));
    CHECK(greedy == text_of("-p 'The' -n 30 --temp 2 --top-k 0 --top-p 1e-6"));
    CHECK(greedy == text_of("-p 'The' -n 30 --temp 2 --top-k 0 --top-p 1 --min-p 1"));
    CHECK(greedy != text_of("-p 'The' -n 30 --temp 0 --repeat-penalty 5"));
    CHECK(greedy == text_of("-p 'The' -n 30 --temp 0 --repeat-penalty 5 --repeat-last-n 0"));
}

TEST_CASE("generate: what a model without training says is valid UTF-8") {
    // Hot bytes make parts of characters and impossible ones; the stream must never show half a character.
    for (int seed = 0; seed < 5; ++seed) {
        auto const text =
            text_of("-p 'x' -n 200 --temp 50 --top-k 0 --top-p 1 --min-p 0 --ignore-eos --seed " +
                    std::to_string(seed));
        CHECK(deepseek::text::valid_utf8_prefix(text) == text.size());
        CHECK(text.find("\xEF\xBF\xBD") != std::string::npos);  // and some were impossible
    }
}

TEST_CASE("generate: a stop string ends the text before it") {
    auto const whole = json_of("-p 'Once' -n 60 --temp 0")["text"].get<std::string>();
    REQUIRE(whole.size() > 30);
    auto const stop = whole.substr(12, 5);  // several tokens of one byte
    auto const cut = json_of("-p 'Once' -n 60 --temp 0 -r 'not there' -r " + word(stop));
    CHECK(cut["text"] == whole.substr(0, whole.find(stop)));
    CHECK(cut["end"] == "stop");
}

TEST_CASE("generate: the reply ends where it should, and says so") {
    CHECK(json_of("-p 'Once' -n 3 --temp 0")["end"] == "length");
    CHECK(json_of("-p 'Once' -n 3 --temp 0")["tokens"] == 3);
    CHECK(json_of("-p 'Once' -n 0")["text"] == "");
    auto const full = run_program(generate("-p 'Once' -n -1 --ignore-eos -c 32 --temp 0 --json"));
    CHECK(full.status == 0);
    CHECK(mentions(full.err, "the context of 32 tokens is full"));
    auto const line = nlohmann::json::parse(full.out);
    CHECK(line["end"] == "context");
    CHECK(line["tokens"] == 32 + 1 - 5);  // the last token needs no room; begin and four bytes do
}

TEST_CASE("generate: prompts come from files too, without the newline that ends them") {
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "prompt", "Once upon\n");
    CHECK(text_of("-n 5 --temp 0 -f " + word(directory / "prompt")) ==
          text_of("-n 5 --temp 0 -p 'Once upon'"));
}

TEST_CASE("generate: without a prompt a text is begun") {
    CHECK(json_of("-n 5 --temp 0")["tokens"] == 5);
    auto const nothing = run_program(generate("-n 5 --no-bos"));
    CHECK(nothing.status == 1);
    CHECK(mentions(nothing.err, "nothing to continue"));
}

TEST_CASE("generate: --interactive continues every line, all in one text") {
    auto const talk = run_program(generate("-i -n 10 --temp 0 --ignore-eos"), "Once upon\n a time\n");
    CHECK(talk.status == 0);
    auto const first = json_of("-p 'Once upon' -n 10 --temp 0 --ignore-eos")["text"].get<std::string>();
    auto const second =
        json_of("-n 10 --temp 0 --ignore-eos -p " + word("Once upon" + first + " a time"))["text"]
            .get<std::string>();
    CHECK(talk.out == first + "\n" + second + "\n");
    CHECK(mentions(talk.err, "> ", "reply 20 tokens"));

    auto const bad = run_program(generate("-i -n 3 -c 24"), "\xFF\n" + std::string(100, 'x') + "\nOnce\n");
    CHECK(bad.status == 0);
    CHECK(mentions(bad.err, "UTF-8", "do not fit", "reply 3 tokens"));
}

TEST_CASE("generate: a conversation longer than the context goes on with its end") {
    auto const text = [](std::string const& prompt, int count) {
        return json_of("-c 24 --temp 0 --ignore-eos -n " + std::to_string(count) + " -p " +
                       word(prompt))["text"]
            .get<std::string>();
    };
    auto const full =
        run_program(generate("-i -n 10 -c 24 --temp 0 --ignore-eos"), "Once upon a\n little time\n");
    CHECK(full.status == 0);
    CHECK(mentions(full.err, "reply 20 tokens"));
    auto const first = text("Once upon a", 10);
    // The second line takes 12 of 24 places, the token before texts one; one more is written before the context is full
    // again and half of it is forgotten.
    auto known = ("Once upon a" + first).substr(21 - 11) + " little time";
    auto second = text(known, 1);
    known = (known + second).substr(known.size() + 1 - 11);
    second += text(known, 9);
    CHECK(full.out == first + "\n" + second + "\n");
}

TEST_CASE("generate: commands in a conversation") {
    auto const talk =
        run_program(generate("-i -n 6 --temp 0 --ignore-eos"), "Once\n/reset\nOnce\n/help\n/nothing\n");
    CHECK(talk.status == 0);
    auto const reply = json_of("-p Once -n 6 --temp 0 --ignore-eos")["text"].get<std::string>();
    CHECK(talk.out == reply + "\n" + reply + "\n");
    CHECK(mentions(talk.err, "a new text begins", "/reset begins", "there is no command /nothing"));
}

TEST_CASE("generate: at a terminal lines can be edited and come back, and Ctrl-C ends the program") {
    auto const binary = (program_dir() / "generate").native();
    auto const directory = model().native();
    int terminal = -1;
    auto const pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::setenv("TERM", "xterm", 1);
        ::execl(binary.c_str(), "generate", "--threads", "1", "-m", directory.c_str(), "-i", "-n", "6",
                "--temp", "0", "--ignore-eos", nullptr);
        ::_exit(127);
    }
    std::string screen;
    std::size_t seen = 0;
    auto const wait_for = [&](std::string const& text) {
        char part[256];
        while (screen.find(text, seen) == std::string::npos) {
            pollfd ready{terminal, POLLIN, 0};
            if (::poll(&ready, 1, 20'000) != 1) {
                return false;
            }
            auto const count = ::read(terminal, part, sizeof part);
            if (count <= 0) {
                return false;
            }
            screen.append(part, static_cast<std::size_t>(count));
        }
        seen = screen.find(text, seen) + text.size();
        return true;
    };
    auto const type = [&](std::string_view keys) {
        REQUIRE(::write(terminal, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
    };
    auto const reply = json_of("-p Once -n 6 --temp 0 --ignore-eos")["text"].get<std::string>();
    CHECK_MESSAGE(wait_for("> "), screen);
    type(
        "Oncx\x7F"
        "e\n");
    CHECK_MESSAGE(wait_for(reply), screen);
    CHECK_MESSAGE(wait_for("> "), screen);
    type("/reset\n");
    CHECK_MESSAGE(wait_for("a new text begins"), screen);
    CHECK_MESSAGE(wait_for("> "), screen);
    type("\x1B[A\x1B[A\n");  // two lines up: Once
    CHECK_MESSAGE(wait_for(reply), screen);
    CHECK_MESSAGE(wait_for("> "), screen);
    type("\x03");
    CHECK_MESSAGE(wait_for("tok/s"), screen);
    wait_for("nothing more");  // until the other end is closed
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid != pid) {
        ::kill(pid, SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK_MESSAGE((WIFEXITED(status) && WEXITSTATUS(status) == 130), screen);
    ::close(terminal);
}

TEST_CASE("generate: a model that lost its meaning is refused, in words") {
    ScratchDirectory const directory;
    auto const broken = copy_of_model(directory);
    auto bytes = deepseek::read_file(broken / "model.safetensors");
    // Large finite weights pass every look at the file: their products have no value.
    for (std::size_t at = bytes.size() - 400'000 / 4 * 4; at + 4 <= bytes.size(); at += 4) {
        std::memcpy(bytes.data() + at, "\x00\x00\x60\x7F", 4);
    }
    deepseek::write_file_atomically(broken / "model.safetensors", bytes);
    auto const told = run_program("generate -m " + word(broken) + " -p Once -n 3");
    CHECK(told.status == 1);
    CHECK(mentions(told.err, broken.native(), "ruined"));
    deepseek::write_file_atomically(directory / "text", "Once upon a time");
    auto const scored =
        run_program("generate -m " + word(broken) + " --perplexity " + word(directory / "text"));
    CHECK(scored.status == 1);
    CHECK(scored.out.empty());
    CHECK(mentions(scored.err, "ruined"));
}

TEST_CASE("generate: Ctrl-C ends the reply with its statistics") {
    Process run(generate("-p 'Once' -n 1000000 -c 1000010 --ignore-eos --temp 1"));
    REQUIRE(run.wait_for("Once"));
    run.signal(SIGINT);
    auto const done = run.wait();
    CHECK(done.status == 130);
    CHECK(mentions(done.err, "reply ", "tok/s"));
}

TEST_CASE("generate: --perplexity is the mean surprise of the file's bytes") {
    ScratchDirectory const directory;
    auto const file = directory / "text";
    deepseek::write_file_atomically(file, "Once upon a time there was a little boy. He was happy.\n");
    auto const size = static_cast<double>(fs::file_size(file));
    auto const score = json_of("--perplexity " + word(file));
    CHECK(score["tokens"] == size);  // bytes; the token before the text is given
    CHECK(score["bytes"] == size);
    auto const loss = score["loss"].get<double>();
    CHECK(loss > 0.5);
    CHECK(loss < 4);  // the stories' bytes: far from the 7.3 of all 1536 tokens
    CHECK(score["ppl"].get<double>() == doctest::Approx(std::exp(loss)));
    CHECK(score["bits_per_byte"].get<double>() == doctest::Approx(loss / std::log(2)));

    // Every token is predicted once, whatever the windows; with less before it, mostly less well.
    for (int const context : {1, 2, 7, 30}) {
        auto const windows = json_of("-c " + std::to_string(context) + " --perplexity " + word(file));
        CHECK(windows["tokens"] == size);
        CHECK(windows["loss"].get<double>() < 8);
    }
    CHECK(json_of("-c 55 --perplexity " + word(file))["loss"].get<double>() == doctest::Approx(loss));
    // The token between texts is one token, not the characters of its name.
    deepseek::write_file_atomically(directory / "two", "Once<|endoftext|>Once");
    CHECK(json_of("--perplexity " + word(directory / "two"))["tokens"] == 9);
    // Without the token before the text its first byte is not predicted.
    auto const bare = json_of("--no-bos --perplexity " + word(file));
    CHECK(bare["tokens"] == size - 1);
    CHECK(bare["bytes"] == size - 1);
}

TEST_CASE("generate: files that cannot be scored are named") {
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "empty", "");
    deepseek::write_file_atomically(directory / "bytes", "abc\xFFzz");
    auto const complaint = [&](char const* name) {
        auto const done = run_program(generate("--perplexity " + word(directory / name)));
        CHECK(done.status == 1);
        CHECK(done.out.empty());
        return done.err;
    };
    CHECK(mentions(complaint("empty"), "empty", "no text"));
    CHECK(mentions(complaint("bytes"), "bytes", "UTF-8", "3"));
    CHECK(mentions(complaint("missing"), "missing", "No such file"));
}

TEST_CASE("generate: wrong command lines end with status 2 and the reason") {
    auto const refused = [](std::string const& flags, auto const&... parts) {
        auto const done = run_program(generate(flags));
        CHECK_MESSAGE(done.status == 2, flags);
        CHECK_MESSAGE(mentions(done.err, parts...), done.err);
        CHECK(done.out.empty());
    };
    refused("--tmep 1", "unknown flag --tmep", "--temp");
    refused("--temp -1", "temperature", "-1");
    refused("--top-p 0", "top_p");
    refused("--min_p 2", "min_p", "2");
    refused("--repeat-penalty 0", "repeat_penalty");
    refused("-n -2", "-2");
    refused("-n many", "many");
    refused("--seed -7", "-7");
    refused("--seed 99999999999999999999", "--seed", "99999999999999999999");
    refused("-c -3", "--ctx-size", "-3");
    refused("-c 99999999999999999", "--ctx-size", "99999999999999999");
    refused("--threads 100000", "--threads", "100000");
    refused("--num-samples 0", "--num-samples", "0");
    refused("--top-k 1.5", "1.5");
    refused("--top-p nan", "top_p", "nan");
    refused("--repeat-last-n -2", "repeat_last", "-2");
    refused("twice", "unexpected argument 'twice'");
    refused("-p a -f b", "--prompt", "--file");
    refused("-i --perplexity f", "--perplexity", "--interactive");
    auto const no_model = run_program("generate -p Once");
    CHECK(no_model.status == 2);
    CHECK(mentions(no_model.err, "--model"));
}

TEST_CASE("generate: prompts that do not fit or are not text are refused") {
    auto const long_one = run_program(generate("-c 8 -p 'Once upon a time'"));
    CHECK(long_one.status == 1);
    CHECK(mentions(long_one.err, "17 tokens", "8"));
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "bytes", "ab\xFF");
    auto const file = run_program(generate("-f " + word(directory / "bytes")));
    CHECK(file.status == 1);
    CHECK(mentions(file.err, (directory / "bytes").native() + ": not UTF-8 at byte 2 (0xff)"));
    auto const argument = run_program(generate("-p 'ab\xFF'"));
    CHECK(argument.status == 1);
    CHECK(mentions(argument.err, "not UTF-8 at byte 2 (0xff)"));
    auto const missing = run_program(generate("-f " + word(directory / "none")));
    CHECK(missing.status == 1);
    CHECK(mentions(missing.err, (directory / "none").native(), "No such file"));
}

TEST_CASE("generate: text that a full disk did not take is an error with its cause") {
    if (!fs::exists("/dev/full")) {
        return skip("no /dev/full");
    }
    ScratchDirectory const directory;
    deepseek::write_file_atomically(directory / "text", "Once upon a time");
    for (auto const& flags :
         {std::string("-p Once -n 4"), "--perplexity " + word(directory / "text"), std::string("--help")}) {
        auto const done = run_program(generate(flags + " >/dev/full"));
        CHECK_MESSAGE(done.status == 1, flags);
        CHECK_MESSAGE(mentions(done.err, "cannot write to stdout: No space left on device"), done.err);
    }
}

TEST_CASE("generate: missing and damaged models are named") {
    auto const complaint = [](auto const& damage) {
        ScratchDirectory const directory;
        auto const copy = copy_of_model(directory);
        damage(copy);
        auto const done = run_program("generate -p Once -m " + word(copy));
        CHECK(done.status == 1);
        CHECK(done.out.empty());
        return done.err;
    };
    auto const edit_config = [](fs::path const& path, char const* key, nlohmann::json const& value) {
        auto json = nlohmann::json::parse(deepseek::read_file(path / "config.json"));
        json[key] = value;
        deepseek::write_file_atomically(path / "config.json", json.dump());
    };
    CHECK(mentions(complaint([](auto const& m) { fs::remove_all(m); }), "/m", "no such model"));
    CHECK(mentions(complaint([](auto const& m) { fs::remove(m / "config.json"); }), "config.json",
                   "No such file"));
    CHECK(mentions(complaint([](auto const& m) { cut_in_half(m / "config.json"); }), "config.json", "JSON"));
    CHECK(mentions(complaint([](auto const& m) { fs::remove(m / "tokenizer.json"); }), "tokenizer"));
    CHECK(mentions(complaint([](auto const& m) { cut_in_half(m / "tokenizer.json"); }), "tokenizer.json"));
    CHECK(mentions(complaint([](auto const& m) {
                       auto data = deepseek::text::load_tokenizer(m).data();
                       data.added.push_back({"<far>", 70'000});
                       deepseek::write_file_atomically(m / "tokenizer.json", to_tokenizer_json(data));
                   }),
                   "/m", "tokenizer has 70001 tokens", "only 1536"));
    CHECK(
        mentions(complaint([](auto const& m) { fs::remove(m / "model.safetensors"); }), "model.safetensors"));
    CHECK(mentions(complaint([](auto const& m) { fs::resize_file(m / "model.safetensors", 0); }),
                   "model.safetensors", "0 bytes"));
    CHECK(mentions(complaint([](auto const& m) { cut_in_half(m / "model.safetensors"); }),
                   "model.safetensors"));
    // A model of another type: the known ones, and what differs from the closest.
    auto const other = complaint([&](auto const& m) { edit_config(m, "kv_lora_rank", 40); });
    CHECK(mentions(other, "config.json", "quickstart, shakespeare, tiny-stories, from-scratch-100m",
                   "closest is quickstart", "kv_lora_rank: the file says 40, the model type 48",
                   "app::generate<YourModel>"));
    CHECK(other.find("hidden_size") == std::string::npos);
}
