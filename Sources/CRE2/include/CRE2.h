// A face in C on RE2, regular expressions in linear time. No policy: which texts are matched, and what a
// substitution looks like, is decided in Swift. Nothing here throws; out of memory ends the process, as in Swift.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define RW_RE2_NOEXCEPT noexcept
extern "C" {
#else
#define RW_RE2_NOEXCEPT
#endif

/// A whole match and nine groups, `\0` to `\9`.
#define RW_RE2_RANGES_MAX 10

/// A compiled expression. Matching changes its cache of states behind a lock, so each thread has its own.
typedef struct rw_re2 rw_re2;

/// Bytes from `start` up to, not including, `end`; a group that took no part has a start of -1.
typedef struct rw_re2_range {
    ptrdiff_t start;
    ptrdiff_t end;
} rw_re2_range;

/// Why a pattern is none.
typedef struct rw_re2_problem {
    /// RE2's words, cut at the end, with a zero behind them.
    char message[160];
    /// Where in the pattern the offending part starts, in bytes; -1 when that is unknown.
    ptrdiff_t offset;
} rw_re2_problem;

/// Compiles a pattern in RE2's syntax for texts in UTF-8.
///
/// `memory_max` bounds the bytes of the program and of the states that matching keeps; beyond, states are made
/// again. Returns NULL and fills `problem` when the pattern is wrong or too large. Free the result with rw_re2_free.
rw_re2 *rw_re2_compile(const char *pattern, size_t length, int64_t memory_max, rw_re2_problem *problem) RW_RE2_NOEXCEPT;
void rw_re2_free(rw_re2 *regex) RW_RE2_NOEXCEPT;

/// How many groups in round brackets the pattern has.
int rw_re2_group_count(const rw_re2 *regex) RW_RE2_NOEXCEPT;
/// The first bytes of every text that the whole pattern can match: writes at most `capacity`, returns how many.
size_t rw_re2_prefix(const rw_re2 *regex, char *buffer, size_t capacity) RW_RE2_NOEXCEPT;

/// Whether the pattern matches the whole text.
bool rw_re2_matches(const rw_re2 *regex, const char *text, size_t length) RW_RE2_NOEXCEPT;
/// Finds the leftmost match in text[start..<length]; what stands before still counts for `^` and `\b`.
/// `groups` receives `count` ranges, the whole match first; count is at most RW_RE2_RANGES_MAX.
bool rw_re2_find(const rw_re2 *regex, const char *text, size_t length, size_t start, rw_re2_range *groups,
                 int count) RW_RE2_NOEXCEPT;

#ifdef __cplusplus
}
#endif
