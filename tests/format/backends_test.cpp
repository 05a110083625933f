// SPDX-License-Identifier: MIT
// Files do not depend on the backend that wrote them: a run goes on elsewhere.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/model.hpp>

#include "format/small_model.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace ds = deepseek;
namespace format = deepseek::format;
using deepseek_tests::bits_of;
using deepseek_tests::ScratchDirectory;
using deepseek_tests::Small;

namespace {

template <class B>
struct Run {
    B be{};
    ds::Weights<Small, double, B> weights{be};
    ds::Trainer<Small, double, B> trainer{be, weights, {.schedule = {.peak = 1e-2, .total = 20}}};
    std::vector<ds::Token> tokens = std::vector<ds::Token>(33);

    Run() { ds::initialize(be, weights, ds::Seed{1}); }

    double step() {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            auto const number = static_cast<std::uint64_t>(trainer.progress().step) * tokens.size() + i;
            tokens[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{2}}.bits(number) % 40);
        }
        std::span const all(tokens);
        ds::Batch const batch{all.first(32), all.last(32), 2, 16};
        return trainer.step({&batch, 1}).total_loss;
    }
    void save(std::filesystem::path const& directory) {
        auto const& at = trainer.progress();
        format::save_checkpoint<Small>(be, directory, weights, trainer.first_moment(),
                                       trainer.second_moment(),
                                       {.step = at.step, .updates = at.updates, .tokens = at.tokens});
    }
    void load(std::filesystem::path const& directory) {
        auto const state = format::load_checkpoint<Small>(be, directory, weights, trainer.first_moment(),
                                                          trainer.second_moment());
        trainer.progress() = {.step = state.step, .updates = state.updates, .tokens = state.tokens};
    }
};

// Three steps on one backend, and the next three on it and on the other.
template <class From, class To>
void check_moved() {
    ScratchDirectory const scratch;
    Run<From> from;
    for (int i = 0; i < 3; ++i) {
        from.step();
    }
    from.save(scratch / "run");
    Run<To> to;
    to.load(scratch / "run");
    CHECK(bits_of(to.be, to.weights) == bits_of(from.be, from.weights));
    CHECK(bits_of(to.be, to.trainer.second_moment()) == bits_of(from.be, from.trainer.second_moment()));
    for (int i = 0; i < 3; ++i) {
        CHECK(to.step() == doctest::Approx(from.step()).epsilon(1e-10));
    }
}

}  // namespace

TEST_CASE("checkpoints: a run begun on the Cpu goes on on the emulated device, and the other way round") {
    check_moved<ds::Cpu, ds::Emulated>();
    check_moved<ds::Emulated, ds::Cpu>();
}

TEST_CASE("save_model: the emulated device writes the files that the Cpu writes, and reads them") {
    ScratchDirectory const scratch;
    ds::Cpu cpu;
    ds::Emulated device;
    ds::Weights<Small, float, ds::Cpu> from{cpu};
    ds::Weights<Small, float, ds::Emulated> to{device};
    deepseek_tests::fill<Small, float>(cpu, from, 3);
    format::save_model(cpu, scratch / "one", from);
    format::load_model(device, scratch / "one", to);
    CHECK(bits_of(device, to) == bits_of(cpu, from));
    format::save_model(device, scratch / "two", to);
    for (auto const* const name : {"model.safetensors", "config.json"}) {
        CHECK(ds::read_file(scratch / "one" / name) == ds::read_file(scratch / "two" / name));
    }
}
