// What serves an accepted connection: raw bytes, or HTTP.
#pragma once

void raw_serve(int fd);
void http_serve(int fd);
