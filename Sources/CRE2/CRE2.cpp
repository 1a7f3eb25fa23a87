#include "CRE2.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

struct rw_re2 {
    RE2 regex;

    rw_re2(const re2::StringPiece &pattern, const RE2::Options &options) noexcept : regex(pattern, options) {}
};

namespace {

void describe(const RE2 &regex, rw_re2_problem *problem) noexcept {
    const std::string &message = regex.error();
    const size_t length = std::min(message.size(), sizeof(problem->message) - 1);
    std::memcpy(problem->message, message.data(), length);
    problem->message[length] = 0;
    // RE2 says what is wrong as text. The whole pattern says nothing about where.
    const std::string &part = regex.error_arg();
    const size_t offset = part.empty() || part == regex.pattern() ? std::string::npos : regex.pattern().rfind(part);
    problem->offset = offset == std::string::npos ? -1 : static_cast<ptrdiff_t>(offset);
}

}  // namespace

rw_re2 *rw_re2_compile(const char *pattern, size_t length, int64_t memory_max, rw_re2_problem *problem) noexcept {
    RE2::Options options;
    options.set_max_mem(memory_max);
    // It would write to standard error.
    options.set_log_errors(false);
    rw_re2 *regex = new (std::nothrow) rw_re2(re2::StringPiece(pattern, length), options);
    if (regex == nullptr) {
        std::strcpy(problem->message, "out of memory");
        problem->offset = -1;
        return nullptr;
    }
    if (!regex->regex.ok()) {
        describe(regex->regex, problem);
        delete regex;
        return nullptr;
    }
    return regex;
}

void rw_re2_free(rw_re2 *regex) noexcept { delete regex; }

int rw_re2_group_count(const rw_re2 *regex) noexcept { return regex->regex.NumberOfCapturingGroups(); }

size_t rw_re2_prefix(const rw_re2 *regex, char *buffer, size_t capacity) noexcept {
    std::string least, greatest;
    if (!regex->regex.PossibleMatchRange(&least, &greatest, static_cast<int>(capacity))) return 0;
    // Whatever lies between the two starts as both do.
    const size_t bound = std::min({least.size(), greatest.size(), capacity});
    size_t count = 0;
    while (count < bound && least[count] == greatest[count]) count++;
    std::memcpy(buffer, least.data(), count);
    return count;
}

bool rw_re2_matches(const rw_re2 *regex, const char *text, size_t length) noexcept {
    return regex->regex.Match(re2::StringPiece(text, length), 0, length, RE2::ANCHOR_BOTH, nullptr, 0);
}

bool rw_re2_find(const rw_re2 *regex, const char *text, size_t length, size_t start, rw_re2_range *groups,
                 int count) noexcept {
    re2::StringPiece found[RW_RE2_RANGES_MAX];
    count = std::min(count, RW_RE2_RANGES_MAX);
    if (!regex->regex.Match(re2::StringPiece(text, length), start, length, RE2::UNANCHORED, found, count)) return false;
    for (int index = 0; index < count; index++) {
        if (found[index].data() == nullptr) {
            groups[index] = {-1, -1};
            continue;
        }
        const ptrdiff_t offset = found[index].data() - text;
        groups[index] = {offset, offset + static_cast<ptrdiff_t>(found[index].size())};
    }
    return true;
}
