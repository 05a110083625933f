// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_DIRECTORY_HPP
#define DEEPSEEK_FORMAT_DIRECTORY_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/directory_calls.hpp>
#include <deepseek/format/directory_lock.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/messages.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// Directories that are replaced as a whole: what several files need that only mean something together.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// The directory to read where `path` was asked for: `path` itself; the complete new one inside it if the machine
/// stopped while that was being moved into place; or, if there is none, a checkpoint `path`.old that an earlier version
/// left when it was stopped.
inline std::filesystem::path existing_directory(std::filesystem::path const& path) {
    auto committed = detail::own_inside(path, "commit");
    if (detail::is_real_directory(committed)) {
        return committed;
    }
    auto const normal = path.has_filename() ? path : path.parent_path();
    std::filesystem::path const old = normal.native() + ".old";
    return !normal.empty() && !detail::exists(normal) && detail::exists(old / "config.json") ? old : path;
}

/// Writes a directory whose files appear under its name all or none. They are written to path() / name, or through
/// file(name); commit() makes them take the place of the old ones. At every moment, also after a crash or a power cut,
/// `existing_directory` leads to a complete set, the old or the new.
///
/// A new directory appears by a rename. One that holds nothing but files for which `owns` is true is swapped with its
/// successor in one step. Any other stays where it is, and so does what others keep in it: one with foreign files, a
/// mount point, the working directory of a process that /proc shows, one that the file system cannot swap. There the new files wait in
/// `.deepseek-new`; renaming that to `.deepseek-commit` is the moment from which `existing_directory` leads to them; then
/// they are moved up one by one. Whoever reads the directory without asking `existing_directory` sees each file whole,
/// but during those few system calls, or after a crash among them, some old and some new. The next writer finishes or
/// removes what a crash left.
///
/// Only files for which `owns` is true, and those whose name begins with the library's own mark, are ever deleted.
/// Symbolic links are removed or replaced themselves, never followed. Permissions are those of what is replaced.
///
/// Errors:    FileError naming path and cause; that of DirectoryLock if another writer is at work
template <class Calls = detail::DirectoryCalls>
class BasicAtomicDirectory {
public:
    using Owns = std::function<bool(std::string_view)>;
    using File = deepseek::BasicAtomicFile<Calls>;

    /// Takes the lock of the directory for its lifetime, unless the caller gives one that it holds for longer.
    BasicAtomicDirectory(std::filesystem::path const& target, Owns owns, DirectoryLock const* lock = nullptr)
        : owns_(std::move(owns)) {
        if (lock == nullptr) {
            lock_.emplace(target);
            target_ = lock_->target();
            fixed_ = lock_->inside();
        } else {
            target_ = detail::directory_target(target);
            fixed_ = lock->inside();
            expects(lock->target() == target_, detail::in_quotes(target.native()),
                    ": the lock given is that of ", detail::in_quotes(lock->target().native()));
            detail::make_parent(target_);
        }
        beside_ = detail::own_beside(target_, "new");
        clear_leftovers();
        replaces_ = detail::is_directory(target_);
        staging_ = replaces_ ? detail::own_inside(target_, "new") : beside_;
        for (auto const& name : detail::names_in(target_)) {
            expects<FileError>(!owns_(name.native()) || !detail::is_real_directory(target_ / name),
                               detail::in_quotes((target_ / name).native()),
                               ": is a directory, expected a file");
        }
        if (Calls::mkdir(staging_.c_str()) != 0) {
            deepseek::detail::throw_file_error(staging_, "cannot create the directory", errno);
        }
        open_ = true;
        if (replaces_) {
            keep_permissions();
        }
    }
    BasicAtomicDirectory(BasicAtomicDirectory const&) = delete;
    BasicAtomicDirectory& operator=(BasicAtomicDirectory const&) = delete;
    ~BasicAtomicDirectory() {
        if (open_) {
            discard(staging_);
        }
    }

    /// Where the files of the new directory are written.
    std::filesystem::path const& path() const { return staging_; }
    /// What the directory is called, or will be.
    std::filesystem::path const& target() const { return target_; }
    /// A file of the new directory, with the permissions of the one it replaces. Commit it before the directory.
    File file(std::string_view name) const { return File(staging_ / name, target_ / name); }

    /// Puts the new files in place of the old ones. All of them must be complete and synced.
    void commit() {
        sync_directory<Calls>(staging_);
        if (!replaces_) {
            rename(staging_, target_);
            open_ = false;
            sync_directory<Calls>(target_.parent_path());
        } else if (!may_swap() || !swap()) {
            rename(staging_, detail::own_inside(target_, "commit"));
            open_ = false;
            try {
                sync_directory<Calls>(target_);
                roll_forward();
            } catch (FileError const& error) {
                throw FileError(message(error.what(), "; the new files wait in ",
                                        detail::own_inside(target_, "commit").native(),
                                        ", where they are read from, and the next writer moves them up"));
            }
        }
    }

    /// Does all that a commit does, with a file that means nothing and is removed again: what throws here would throw
    /// there. Nothing may have been written yet. The old files are untouched throughout.
    void prove() {
        auto const name = message(detail::kOwnMark, "probe-as-long-as-any-name");
        {
            File probe(staging_ / name);
            probe.write(std::string_view("probe"));
            probe.commit();
        }
        auto const home = staging_;
        move_staging(replaces_ ? detail::own_inside(target_, "probe") : target_);
        if (replaces_) {
            place(staging_ / name, target_ / name);
            remove(target_ / name);
        }
        move_staging(home);
        remove(staging_ / name);
    }

private:
    static void rename(std::filesystem::path const& from, std::filesystem::path const& to) {
        if (Calls::rename(from.c_str(), to.c_str()) != 0) {
            deepseek::detail::throw_file_error(to, message("cannot rename ", from.native(), " to it"), errno);
        }
    }
    static void remove(std::filesystem::path const& file) {
        if (Calls::unlink(file.c_str()) != 0) {
            deepseek::detail::throw_file_error(file, "cannot be removed", errno);
        }
    }

    void move_staging(std::filesystem::path const& to) {
        rename(staging_, to);
        staging_ = to;
        sync_directory<Calls>(staging_.parent_path());
    }

    // The new directory gets the permissions of the old one; to write in it, the owner needs all of his.
    void keep_permissions() {
        struct stat own {};
        struct stat replaced {};
        if (::stat(target_.c_str(), &replaced) != 0 || ::stat(staging_.c_str(), &own) != 0) {
            return;
        }
        mode_ = replaced.st_mode & 07777U;
        if ((own.st_uid != replaced.st_uid || own.st_gid != replaced.st_gid) &&
            Calls::chown(staging_.c_str(), replaced.st_uid, replaced.st_gid) != 0) {
            fixed_ = true;  // swapped, it would belong to somebody else
        }
        fixed_ = Calls::chmod(staging_.c_str(), mode_ | 0700U) != 0 || fixed_;
    }

    // Whether nothing would miss the old directory.
    bool may_swap() const {
        auto const names = detail::names_in(target_);
        return !fixed_ && std::all_of(names.begin(), names.end(), [&](auto const& name) {
            return owned(name.native());
        }) && !detail::is_working_directory(target_);
    }

    bool swap() {
        if (((mode_ & 0700U) != 0700U && Calls::chmod(staging_.c_str(), mode_) != 0) ||
            Calls::rename(staging_.c_str(), beside_.c_str()) != 0) {
            return false;
        }
        if (Calls::exchange(beside_.c_str(), target_.c_str()) != 0) {
            auto const inside = std::exchange(staging_, beside_);
            rename(beside_, inside);
            staging_ = inside;
            return false;
        }
        open_ = false;
        sync_directory<Calls>(target_.parent_path());
        retire(beside_);  // what cannot be removed now is removed by the next writer
        return true;
    }

    // Moves the files of `.deepseek-commit` up. They keep their names there until all have others as well, so that the
    // set is complete in one place at every moment; what was done before a crash is done again.
    void roll_forward() {
        auto const from = detail::own_inside(target_, "commit");
        if (!detail::is_real_directory(from)) {
            return;
        }
        auto const names = detail::names_in(from);
        for (auto const& name : names) {
            if (owned(name.native())) {
                place(from / name, target_ / name);
            }
        }
        for (auto const& name : detail::names_in(target_)) {
            if (owns_(name.native()) && std::find(names.begin(), names.end(), name) == names.end()) {
                remove(target_ / name);
            }
        }
        sync_directory<Calls>(target_);
        auto const done = detail::own_inside(target_, "new");
        rename(from, done);
        sync_directory<Calls>(target_);
        retire(done);
    }

    // Gives a file a second name, or where there are none a copy, in place of what had it.
    void place(std::filesystem::path const& from, std::filesystem::path const& to) {
        if (detail::is_same(from, to)) {
            return;  // renaming one name of a file to another does nothing and leaves both
        }
        auto const link = detail::own_inside(target_, "link");
        Calls::unlink(link.c_str());
        if (Calls::link(from.c_str(), link.c_str()) != 0) {
            copy(from, link);
        }
        rename(link, to);
    }
    static void copy(std::filesystem::path const& from, std::filesystem::path const& to) {
        auto const in = deepseek::detail::open_descriptor<Calls>(from, O_RDONLY, "cannot open");
        File out(to, from);
        std::array<char, std::size_t{1} << 16U> buffer{};
        for (;;) {
            auto const count = Calls::read(in.get(), buffer.data(), buffer.size());
            if (count == 0) {
                break;
            }
            if (count < 0 && errno != EINTR) {
                deepseek::detail::throw_file_error(from, "cannot read", errno);
            }
            out.write(std::string_view(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0));
        }
        out.commit();
    }

    void clear_leftovers() {
        if (detail::is_directory(target_)) {
            roll_forward();
            for (auto const& name : detail::names_in(target_)) {
                if (is_temporary(name.native()) && !detail::is_real_directory(target_ / name)) {
                    Calls::unlink((target_ / name).c_str());
                }
            }
            for (auto const* const what : {"new", "probe"}) {
                retire(detail::own_inside(target_, what));
            }
        }
        retire(beside_);
    }

    // Removes a directory of ours. Should somebody have put something into it, that moves to the target.
    void retire(std::filesystem::path const& directory) {
        if (!detail::is_real_directory(directory)) {
            return;
        }
        for (auto const& name : detail::names_in(directory)) {
            if (!owned(name.native()) && detail::is_directory(target_)) {
                auto to = target_ / name;
                while (detail::exists(to)) {
                    to += ".old";
                }
                Calls::rename((directory / name).c_str(), to.c_str());
            }
        }
        discard(directory);
    }

    // Removes what belongs to us in a directory, and the directory if nothing remains.
    void discard(std::filesystem::path const& directory) {
        for (auto const& name : detail::names_in(directory)) {
            if (owned(name.native())) {
                Calls::unlink((directory / name).c_str());
            }
        }
        Calls::rmdir(directory.c_str());
    }

    // A name we may delete: claimed by the owner, or made by this library for a while.
    bool owned(std::string_view name) const { return owns_(name) || is_temporary(name); }
    bool is_temporary(std::string_view name) const {
        auto const mark = name.find(".deepseek-tmp-");
        return (name.starts_with(detail::kOwnMark) && name != ".deepseek-lock") ||
               (mark != name.npos && owns_(name.substr(0, mark)));
    }

    std::filesystem::path target_;
    std::filesystem::path staging_;  // where the new files are
    std::filesystem::path beside_;   // where they go for a swap
    Owns owns_;
    std::optional<BasicDirectoryLock<Calls>> lock_;
    mode_t mode_ = 0700;
    bool replaces_ = false;  // the target exists
    bool fixed_ = false;     // and must stay where it is
    bool open_ = false;      // staging_ exists and is ours
};

/// The writer of directories, with the operating system's own calls.
using AtomicDirectory = BasicAtomicDirectory<>;

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
