// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_DATA_SET_HPP
#define DEEPSEEK_APP_PREPARE_DATA_SET_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/messages.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::app {

inline constexpr std::string_view kDataSetFiles[] = {"train.bin", "validation.bin", "tokenizer.json",
                                                     "tokenizer_config.json", "meta.json"};

inline bool is_data_set_file(std::string_view name) {
    return std::find(std::begin(kDataSetFiles), std::end(kDataSetFiles), name) != std::end(kDataSetFiles);
}

/// A data set that appears as a whole, on commit(); until then the one that was there stays.
template <class Calls = format::detail::DirectoryCalls>
class BasicDataSet {
public:
    using Directory = format::BasicAtomicDirectory<Calls>;
    using File = typename Directory::File;

    /// Errors:    FileError if another process writes there, if files cannot be written there, or if a data set is there
    ///            and must not be replaced
    BasicDataSet(std::filesystem::path const& path, bool may_replace) : directory_(path, is_data_set_file) {
        for (auto const name : kDataSetFiles) {
            auto const file = directory_.target() / name;
            expects<FileError>(may_replace || !format::detail::exists(file),
                               format::detail::in_quotes(file.native()),
                               ": exists; --force replaces the data set there");
        }
        directory_.prove();
    }

    /// What the directory is called, or will be.
    std::filesystem::path const& target() const { return directory_.target(); }
    /// Where the files of the set wait until then.
    std::filesystem::path const& path() const { return directory_.path(); }
    /// A file to write and commit.
    File file(std::string_view name) const { return directory_.file(name); }
    /// Puts the set in its place.
    void commit() { directory_.commit(); }

private:
    Directory directory_;
};

using DataSet = BasicDataSet<>;

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
