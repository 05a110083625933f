// SPDX-License-Identifier: MIT
// The from-scratch project's model against a restatement in PyTorch, in small: from_scratch_100m/reference.py.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/format/safetensors.hpp>
#include <deepseek/format/tensor_loader.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/train/evaluate.hpp>

#include "../../examples/from_scratch_100m/model.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ds = deepseek;
using ds::index_t;

namespace {

using Model = from_scratch::Model<from_scratch::Sizes{.vocabulary = 61,
                                                      .context = 24,
                                                      .layers = 2,
                                                      .width = 16,
                                                      .heads = 2,
                                                      .kv_rank = 8,
                                                      .q_rank = 12,
                                                      .rope = 4,
                                                      .experts = 4,
                                                      .top_k = 2,
                                                      .expert_hidden = 12,
                                                      .shared_hidden = 20,
                                                      .mtp_heads = 2}>;
constexpr index_t kSequences = 2;
constexpr index_t kLength = 24;

std::filesystem::path fixture(std::string_view name) {
    return std::filesystem::path(DEEPSEEK_SOURCE_DIR) / "tests/examples/from_scratch_100m/fixtures" / name;
}

template <class T>
std::vector<T> values(std::string_view name) {
    static auto const file = ds::format::SafetensorsFile::open(fixture("expected.safetensors"));
    auto const* const tensor = file.find(name);
    REQUIRE(tensor != nullptr);
    std::vector<T> all(tensor->bytes.size() / sizeof(T));
    std::memcpy(all.data(), tensor->bytes.data(), tensor->bytes.size());
    return all;
}

// The windows as a batch: tokens, and what follows each.
struct Windows {
    std::vector<ds::Token> tokens, targets;

    Windows() {
        auto const window = values<std::int64_t>("window");
        for (index_t s = 0; s < kSequences; ++s) {
            auto const* const begin = window.data() + s * (kLength + 1);
            tokens.insert(tokens.end(), begin, begin + kLength);
            targets.insert(targets.end(), begin + 1, begin + kLength + 1);
        }
    }
    ds::Batch batch() const { return {tokens, targets, kSequences, kLength}; }
};

template <class T, class B>
struct Loaded {
    B& be;
    ds::Weights<Model, T, B> weights{be};

    explicit Loaded(B& backend) : be(backend) {
        auto const source = ds::format::TensorSource::open(fixture("model.safetensors"));
        ds::format::TensorLoader<B> loader(be);
        loader.add(source, weights);
        loader.template expect_no_others<Model>(source);
        loader.run(source.path().native());
    }

    std::vector<double> logits_of(ds::Rows<T, Model::width> output) {
        auto const scope = be.scratch().scope();
        auto scores = be.scratch().template rows<T, Model::vocabulary>(output.rows);
        Model::logits(be, weights.view(), scores, output);
        std::vector<T> all(static_cast<std::size_t>(output.rows * Model::vocabulary));
        be.copy_to_host(all.data(), scores.data, static_cast<index_t>(all.size() * sizeof(T)));
        return {all.begin(), all.end()};
    }
};

double error(std::span<double const> actual, std::span<double const> expected) {
    REQUIRE(actual.size() == expected.size());
    double largest = 1;
    double difference = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        auto const d = std::abs(actual[i] - expected[i]);
        difference = std::isnan(d) ? INFINITY : std::max(difference, d);
    }
    return difference / largest;
}

template <class T, class B>
void check_against_reference(B& be, double tolerance) {
    Loaded<T, B> model(be);
    Windows const windows;
    ds::Arena<B> arena(be);
    {
        auto const scope = arena.scope();
        auto const tape = Model::template forward<T>(be, {.sequences = kSequences, .length = kLength},
                                                     model.weights.view(), windows.batch(), arena);
        CHECK(error(model.logits_of(tape.outputs[0]), values<double>("logits")) < tolerance);
        CHECK(error(model.logits_of(tape.outputs[1]), values<double>("mtp.1.logits")) < tolerance);
        CHECK(error(model.logits_of(tape.outputs[2]), values<double>("mtp.2.logits")) < tolerance);
    }
    // As the program does: mean losses over batches, here one per window.
    std::vector<ds::Batch> const batches{windows.batch().slice(0, 1), windows.batch().slice(1, 1)};
    ds::LossSums<2, B> sums(be);
    auto const losses = ds::evaluate(be, sums, model.weights, batches, {}, arena);
    CHECK(error(std::vector{losses.main, losses.mtp[0], losses.mtp[1]}, values<double>("losses")) <
          tolerance);
}

}  // namespace

TEST_CASE("from-scratch model: logits and losses, MTP heads' included, are those of its PyTorch code") {
    ds::Cpu cpu{{.threads = 2}};
    SUBCASE("in double to 1e-12: nothing differs but rounding") {
        check_against_reference<double>(cpu, 1e-12);
    }
    SUBCASE("in float to 1e-5, on a GPU that the host plays") {
        ds::Emulated device;
        check_against_reference<float>(device, 1e-5);
    }
}

TEST_CASE("from-scratch model: a session read in pieces gives the logits of the whole window") {
    ds::Cpu cpu{{.threads = 1}};
    Loaded<double, ds::Cpu> model(cpu);
    Windows const windows;
    std::span const tokens = std::span(windows.tokens).first(kLength);
    ds::Session session{cpu, model.weights};
    CHECK(session.max_tokens() == Model::options.context);
    std::vector<double> actual;
    auto const keep = [&](index_t, std::span<double const> logits) {
        actual.insert(actual.end(), logits.begin(), logits.end());
    };
    session.score(tokens.first(9), keep);
    session.score(tokens.subspan(9, 1), keep);
    session.score(tokens.subspan(10), keep);
    auto const expected = values<double>("logits");
    CHECK(error(actual, std::span(expected).first(actual.size())) < 1e-12);
}

TEST_CASE("from-scratch model: batches that it has no losses for are refused") {
    ds::Cpu cpu{{.threads = 1}};
    Loaded<double, ds::Cpu> model(cpu);
    Windows windows;
    ds::Arena<ds::Cpu> arena(cpu);
    auto const forward = [&](ds::Batch const& batch) {
        auto const scope = arena.scope();
        Model::forward<double>(cpu, {.sequences = batch.sequences, .length = batch.length},
                               model.weights.view(), batch, arena);
    };
    std::span const tokens(windows.tokens);
    std::span const targets(windows.targets);
    CHECK_THROWS_AS(forward({tokens.first(3), targets.first(3), 1, 3}), ds::ShapeError);
    CHECK_THROWS_AS(forward({tokens, targets, 1, 2 * kLength}), ds::ShapeError);
    windows.targets[11] = -1;
    CHECK_THROWS_WITH_AS(forward(windows.batch()), doctest::Contains("ignored"), ds::Error);
}
