// SPDX-License-Identifier: MIT
// Loading a model of 8.3 GB, bf16, from a sparse file, which costs no disk: what is measured is the way from the page cache to
// the weights. Names read
//
//   load/cat          read(2) of the whole file into 128 KiB, as cat does
//   load/weights      format::load_model into weights of bf16; `peak` is the most memory that was in use, over the weights'
//
// As root every round begins with an empty page cache. The weights exist before: to get their memory from the system takes longer than all else on some machines. Needs 8.3 GB of
// memory, and as much again of page cache.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/model.hpp>
#include <deepseek/model/presets.hpp>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace ds = deepseek;
namespace fs = std::filesystem;

// Moonlight with fewer blocks.
using Model =
    ds::Model<ds::Vocabulary<163840>, ds::Blocks<1, ds::presets::MoonlightAttention, ds::SwiGLU<11264>>,
              ds::Blocks<6, ds::presets::MoonlightAttention,
                         ds::MoE<64, 6, 1408, 2 * 1408, ds::presets::kMoonlightRouting>>>;
using Weights = ds::Weights<Model, ds::bf16, ds::Cpu>;

// The file, removed at the end.
struct SparseFile {
    fs::path path = fs::current_path() / "bench_load.safetensors";

    SparseFile() {
        std::string header = "{";
        ds::index_t end = 0;
        for (auto const& tensor :
             ds::format::detail::model_tensors<Model, ds::bf16>(nullptr, "", ds::format::Which::all)) {
            auto const bytes = tensor.size() * ds::format::bits(tensor.dtype) / 8;
            header += ds::message(end > 0 ? "," : "", "\"", tensor.name, "\":{\"dtype\":\"",
                                  ds::format::name(tensor.dtype),
                                  "\",\"shape\":", ds::format::to_string(tensor.shape()),
                                  ",\"data_offsets\":[", end, ",", end + bytes, "]}");
            end += bytes;
        }
        header += "}";
        header.resize((header.size() + 7) / 8 * 8, ' ');
        std::uint64_t const size = header.size();
        std::ofstream(path, std::ios::binary).write(reinterpret_cast<char const*>(&size), sizeof size)
            << header;
        fs::resize_file(path, sizeof size + size + static_cast<std::uint64_t>(end));
    }
    SparseFile(SparseFile const&) = delete;
    SparseFile& operator=(SparseFile const&) = delete;
    ~SparseFile() { fs::remove(path); }

    // Where that is allowed.
    static void leave_cache() { std::ofstream("/proc/sys/vm/drop_caches") << 3 << std::flush; }
};

void count_bytes(benchmark::State& state, SparseFile const& file) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(fs::file_size(file.path)));
}

void cat(benchmark::State& state, SparseFile const& file) {
    std::vector<char> buffer(std::size_t{128} << 10U);
    for (auto _ : state) {
        state.PauseTiming();
        SparseFile::leave_cache();
        state.ResumeTiming();
        int const fd = ::open(file.path.c_str(), O_RDONLY);
        while (::read(fd, buffer.data(), buffer.size()) > 0) {
            benchmark::DoNotOptimize(buffer.data());
        }
        ::close(fd);
    }
    count_bytes(state, file);
}

void load(benchmark::State& state, SparseFile const& file, ds::Cpu& cpu, Weights& weights) {
    for (auto _ : state) {
        state.PauseTiming();
        SparseFile::leave_cache();
        state.ResumeTiming();
        ds::format::load_model(cpu, file.path, weights);
        benchmark::DoNotOptimize(weights.data());
    }
    count_bytes(state, file);
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    state.counters["peak"] =
        1024.0 * static_cast<double>(used.ru_maxrss) / static_cast<double>(ds::param_bytes<Model, ds::bf16>);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    SparseFile const file;
    ds::Cpu cpu;
    Weights weights{cpu};
    cpu.fill_zero(weights.data(), weights.bytes());
    for (int round = 0; round < 3; ++round) {  // in turn
        benchmark::RegisterBenchmark("load/cat", [&](benchmark::State& state) { cat(state, file); })
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
        benchmark::RegisterBenchmark("load/weights",
                                     [&](benchmark::State& state) { load(state, file, cpu, weights); })
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
