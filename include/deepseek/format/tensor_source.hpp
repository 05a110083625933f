// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_TENSOR_SOURCE_HPP
#define DEEPSEEK_FORMAT_TENSOR_SOURCE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/safetensors.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::format {

/// The tensors of a model, whether they lie in one file or in several with an index.
class TensorSource {
public:
    /// A tensor and the file it lies in, for messages.
    struct Entry {
        FileTensor const* tensor = nullptr;
        std::string const* where = nullptr;
    };

    /// Opens a .safetensors file, a model.safetensors.index.json, or the directory that holds one of them.
    ///
    /// Errors:    FileError if there is none; FormatError if a file is damaged or the index and its files disagree
    static TensorSource open(std::filesystem::path const& path) {
        auto const found = locate(path);
        TensorSource source;
        source.path_ = found;
        if (found.extension() == ".json") {
            source.open_shards(found);
        } else {
            source.files_.push_back(SafetensorsFile::open(found));
            for (auto const& tensor : source.files_[0].tensors()) {
                source.entries_.push_back({&tensor, &source.files_[0].where()});
            }
        }
        source.sort();
        return source;
    }

    /// The file that was opened: the single file or the index.
    std::filesystem::path const& path() const { return path_; }

    /// All tensors, by name.
    std::vector<Entry> const& entries() const { return entries_; }

    /// The tensor of that name, or null.
    FileTensor const* find(std::string_view name) const {
        auto const at =
            std::lower_bound(entries_.begin(), entries_.end(), name,
                             [](Entry const& entry, std::string_view n) { return entry.tensor->name < n; });
        return at != entries_.end() && at->tensor->name == name ? at->tensor : nullptr;
    }

    /// Bytes of a tensor that will be read now, and those that will not be read again: so much of the files is in memory.
    void prefetch(std::span<std::byte const> bytes) const {
        for (auto const& file : files_) {
            file.file().prefetch(bytes);
        }
    }
    void release(std::span<std::byte const> bytes) const {
        for (auto const& file : files_) {
            file.file().release(bytes);
        }
    }

private:
    static std::filesystem::path locate(std::filesystem::path const& path) {
        auto const directory = existing_directory(path);
        if (!detail::is_directory(directory)) {
            return path;
        }
        for (auto const* name : {"model.safetensors", "model.safetensors.index.json"}) {
            if (detail::exists(directory / name)) {
                return directory / name;
            }
        }
        throw FileError(
            message(path.native(), ": holds neither model.safetensors nor model.safetensors.index.json"));
    }

    void sort() {
        auto const order = detail::sorted_order(entries_.size(), [&](std::size_t a, std::size_t b) {
            return entries_[a].tensor->name < entries_[b].tensor->name;
        });
        std::vector<Entry> sorted;
        sorted.reserve(order.size());
        for (auto const i : order) {
            sorted.push_back(entries_[i]);
        }
        entries_ = std::move(sorted);
    }

    void open_shards(std::filesystem::path const& index) {
        auto const json = parse_json(read_small_file(index), index.native());
        auto const map = json.is_object() ? json.find("weight_map") : json.end();
        expects<FormatError>(json.is_object() && map != json.end() && map->is_object(), index.native(),
                             ": expected an object with an object weight_map");
        auto const& weight_map = map->get_ref<nlohmann::json::object_t const&>();
        std::map<std::string_view, std::size_t> shards;  // file name to its place in files_
        for (auto const& [name, file] : weight_map) {
            if (!file.is_string() || !plain(file.get_ref<std::string const&>())) {
                throw FormatError(
                    message(index.native(), ": weight_map: ", detail::in_quotes(name),
                            " must be the name of a .safetensors file in the same directory, found ",
                            detail::in_quotes(file.dump())));
            }
            shards.emplace(file.get_ref<std::string const&>(), 0);
        }
        files_.reserve(shards.size());
        for (auto& [name, place] : shards) {
            place = files_.size();
            files_.push_back(SafetensorsFile::open(index.parent_path() / name));
        }
        std::vector<std::string> missing;
        for (auto const& [name, file] : weight_map) {
            auto const& shard = files_[shards.at(file.get_ref<std::string const&>())];
            auto const* const tensor = shard.find(name);
            if (tensor == nullptr) {
                missing.push_back(message(detail::in_quotes(name), " in ", shard.where()));
            } else {
                entries_.push_back({tensor, &shard.where()});
            }
        }
        if (!missing.empty()) {
            throw FormatError(
                detail::listed(message(index.native(), ": names tensors that their files lack"), missing));
        }
    }

    // A file beside the index and nothing that leads elsewhere.
    static bool plain(std::string_view name) {
        return name.ends_with(".safetensors") && !name.starts_with('.') && name.find('/') == name.npos &&
               name.find('\\') == name.npos && name.find('\0') == name.npos;
    }

    std::filesystem::path path_;
    std::vector<SafetensorsFile> files_;
    std::vector<Entry> entries_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
