// SPDX-License-Identifier: MIT
#include "../models.hpp"
#include "model.hpp"

namespace deepseek_examples {

template std::unique_ptr<LanguageModel> load_language_model<Shakespeare>(std::filesystem::path const&, int,
                                                                         ds::index_t);

}  // namespace deepseek_examples
