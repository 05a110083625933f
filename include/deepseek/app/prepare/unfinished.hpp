// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_UNFINISHED_HPP
#define DEEPSEEK_APP_PREPARE_UNFINISHED_HPP

#include <deepseek/app/prepare/data_set.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/app/prepare/raw_documents.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// How far a data set has come.
struct PrepareState {
    InputPosition position;
    std::array<Counts, 2> counts;
    Dropped dropped;
};

/// The tokens of a data set that is not finished, in a directory of its own: <output>.unfinished, or <output>/.unfinished
/// where there is an output already. After save() the same work can go on there, also after a crash.
class Unfinished {
public:
    static constexpr std::array<char const*, 2> kFiles = {"train.bin", "validation.bin"};

    /// The lock of the data set guards the directory.
    explicit Unfinished(DataSet const& set)
        : directory_(format::detail::is_directory(set.target()) ? (set.target() / ".unfinished").native()
                                                                : set.target().native() + ".unfinished") {}
    Unfinished(Unfinished const&) = delete;
    Unfinished& operator=(Unfinished const&) = delete;
    ~Unfinished() {
        if (begun_ && !saved_) {
            discard();
        }
    }

    std::filesystem::path const& directory() const { return directory_; }
    /// Whether something can be gone on with after this.
    bool saved() const { return saved_; }

    /// The state of the same work, if there is some. `work` is what makes it the same: settings, inputs, tokenizer.
    ///
    /// Errors:    FileError if there is one of other work, unless that may be discarded; FormatError if it is damaged
    std::optional<nlohmann::json> find(nlohmann::json const& work, bool may_discard) const {
        auto const path = directory_ / "state.json";
        if (!format::detail::exists(path)) {
            return std::nullopt;
        }
        auto state = format::parse_json(read_small_file(path), path.native());
        if (state.is_object() && state.value("work", nlohmann::json()) == work) {
            return state;
        }
        expects<FileError>(
            may_discard, directory_.native(),
            ": holds unfinished work on other inputs or with other flags; --force begins anew");
        return std::nullopt;
    }

    /// Goes on behind a saved state.
    ///
    /// Errors:    FileError; FormatError if the files are not what the state says
    PrepareState resume(nlohmann::json const& state, index_t width) {
        PrepareState found;
        try {
            state.at("position").at("input").get_to(found.position.input);
            state.at("position").at("document").get_to(found.position.document);
            state.at("position").at("taken").get_to(found.position.taken);
            for (std::size_t part = 0; part < 2; ++part) {
                auto const& counts = state.at("counts").at(part);
                found.counts[part] = {counts.at("documents").get<index_t>(),
                                      counts.at("tokens").get<index_t>(), counts.at("bytes").get<index_t>()};
            }
            Dropped::each(found.dropped, [&](char const* name, index_t& count) {
                state.at("dropped").at(name).get_to(count);
            });
        } catch (nlohmann::json::exception const& error) {
            throw FormatError(message(directory_.native(), "/state.json: ", error.what()));
        }
        open(O_WRONLY);
        for (std::size_t part = 0; part < 2; ++part) {
            auto const path = directory_ / kFiles[part];
            auto const bytes = found.counts[part].tokens * width;
            struct stat status {};
            if (::fstat(files_[part].get(), &status) != 0 || status.st_size < bytes ||
                ::ftruncate(files_[part].get(), bytes) != 0 ||
                ::lseek(files_[part].get(), bytes, SEEK_SET) != bytes) {
                throw FormatError(message(path.native(),
                                          ": is not the file that state.json beside it describes; remove ",
                                          directory_.native(), " to begin anew"));
            }
        }
        saved_ = true;
        return found;
    }

    /// Begins anew.
    ///
    /// Errors:    FileError
    void begin() {
        discard();
        std::error_code code;
        std::filesystem::create_directories(directory_, code);
        if (code) {
            deepseek::detail::throw_file_error(directory_, "cannot create the directory", code.value());
        }
        open(O_WRONLY | O_CREAT | O_TRUNC);
    }

    void append(std::size_t part, std::string_view bytes) {
        while (!bytes.empty()) {
            auto const count = ::write(files_[part].get(), bytes.data(), bytes.size());
            if (count < 0 && errno != EINTR) {
                deepseek::detail::throw_file_error(directory_ / kFiles[part], "cannot write", errno);
            }
            bytes.remove_prefix(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
    }

    /// Makes what was appended so far survive.
    void save(nlohmann::json const& work, PrepareState const& state, std::string const& tokenizer) {
        sync();
        if (!saved_) {
            write_file_atomically(directory_ / "tokenizer.json", tokenizer);
        }
        nlohmann::json counts = nlohmann::json::array();
        for (auto const& part : state.counts) {
            counts.push_back({{"documents", part.documents}, {"tokens", part.tokens}, {"bytes", part.bytes}});
        }
        nlohmann::json dropped;
        Dropped::each(state.dropped, [&](char const* name, index_t count) { dropped[name] = count; });
        nlohmann::json const all = {{"work", work},
                                    {"position",
                                     {{"input", state.position.input},
                                      {"document", state.position.document},
                                      {"taken", state.position.taken}}},
                                    {"counts", counts},
                                    {"dropped", dropped}};
        write_file_atomically(directory_ / "state.json", all.dump());
        saved_ = true;
    }

    /// Moves the files into the set, which is then complete but for its other files; nothing is left here.
    void hand_over(DataSet const& set) {
        sync();
        for (auto const* const name : kFiles) {
            std::error_code code;
            std::filesystem::rename(directory_ / name, set.path() / name, code);
            if (code) {
                deepseek::detail::throw_file_error(set.path() / name, "cannot move the finished file there",
                                                   code.value());
            }
        }
        discard();
        begun_ = false;
    }

private:
    void open(int flags) {
        begun_ = true;
        for (std::size_t part = 0; part < 2; ++part) {
            files_[part] =
                deepseek::detail::open_descriptor(directory_ / kFiles[part], flags, "cannot open to write");
        }
    }
    void sync() {
        for (std::size_t part = 0; part < 2; ++part) {
            if (::fsync(files_[part].get()) != 0) {
                deepseek::detail::throw_file_error(directory_ / kFiles[part], "cannot write to the disk",
                                                   errno);
            }
        }
    }
    // Only what is ours; a directory with something else in it stays.
    void discard() const {
        std::error_code ignored;
        for (auto const* const name : {"state.json", "tokenizer.json", kFiles[0], kFiles[1]}) {
            std::filesystem::remove(directory_ / name, ignored);
        }
        std::filesystem::remove(directory_, ignored);
    }

    std::filesystem::path directory_;
    std::array<deepseek::detail::Descriptor<>, 2> files_;
    bool begun_ = false;
    bool saved_ = false;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
