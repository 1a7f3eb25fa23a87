#define _GNU_SOURCE
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *after(const char *line, const char *end, const char *name) {
    const size_t length = strlen(name);
    if ((size_t)(end - line) < length || strncasecmp(line, name, length)) return NULL;
    return line + length;
}

// The last two components of the path.
static bool parse_request_line(const char *line, const char *end, http_head *head) {
    const char *path_end = memrchr(line, ' ', (size_t)(end - line));
    const char *number = path_end ? memrchr(line, '/', (size_t)(path_end - line)) : NULL;
    const char *size = number ? memrchr(line, '/', (size_t)(number - line)) : NULL;
    if (!size) return false;
    head->asked_bytes = strtoull(size + 1, NULL, 10);
    head->number = (unsigned)strtoul(number + 1, NULL, 10);
    return true;
}

size_t http_parse(const char *bytes, size_t length, http_head *head) {
    *head = (http_head){.content_length = -1};
    const char *blank = memmem(bytes, length, "\r\n\r\n", 4);
    if (!blank) return 0;
    const char *line = bytes, *end = memmem(line, length, "\r\n", 2), *value;
    if ((value = after(line, end, "HTTP/1.1 "))) head->status = atoi(value);
    else if (!parse_request_line(line, end, head)) head->status = -1;
    while (end < blank) {
        line = end + 2;
        end = memmem(line, (size_t)(blank + 2 - line), "\r\n", 2);
        if ((value = after(line, end, "content-length:"))) head->content_length = strtoll(value, NULL, 10);
        else if (after(line, end, "upgrade:")) head->upgrade = true;
        else if (after(line, end, "transfer-encoding:")) head->status = -1;  // nobody here has a reason to
    }
    return (size_t)(blank + 4 - bytes);
}
