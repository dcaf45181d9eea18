/* What is kept of an output that is too long: its beginning (the head), a line that says so (the marker), and its end (the tail), together no more than the limits. Pure.

   The head is half of either limit, whichever is reached first; what comes then is kept aside. As long as all of it is within the limits nothing is left out, and there is no marker. */
#ifndef WORKER_CUT_H
#define WORKER_CUT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CUT_BYTES_MIN 4096   /* the least limits: a head, a marker and a tail fit in */
#define CUT_LINES_MIN 16
#define CUT_MARKER_MAX 256   /* bytes of the marker with both its line feeds */
#define CUT_MARKER_LINES 2   /* line feeds of it: one ends the head's last line, one the marker */
#define CUT_ALIGN_MAX 4096   /* the tail begins with a line where one begins so soon */

struct cut {
  int64_t bytes_max, lines_max;  /* INT64_MAX: none */
  int64_t bytes, lines;          /* of the output so far; lines are line feeds */
  int64_t head_bytes, head_lines;
  bool mid_line;                 /* the head's last byte so far is no line feed */
};

/* 0: no such limit; else at least CUT_…_MIN. */
void cut_init(struct cut *c, int64_t bytes_max, int64_t lines_max);
/* How many of the next n bytes, p, belong to the head; 0: it is full. */
size_t cut_head(const struct cut *c, const char *p, size_t n);
/* These came: to the head, no more than cut_head() said, or all of them behind it. */
void cut_took(struct cut *c, const char *p, size_t n);
bool cut_full(const struct cut *c); /* the head is */
bool cut_over(const struct cut *c); /* something has to be left out */
/* How much of what came behind the head may be kept, now that something has to be left out. */
int64_t cut_tail_bytes(const struct cut *c);
int64_t cut_tail_lines(const struct cut *c);
/* How many bytes of a chunk behind the head are left out before the tail begins in it; n: at least all of them. skip_bytes, skip_lines: so many bytes and line feeds of it, from its first byte on, must go.
   line_begins: its first byte begins a line. */
size_t cut_skip(const char *p, size_t n, int64_t skip_bytes, int64_t skip_lines, bool line_begins);
/* The marker's two parts: when the first byte is left out, and at the end. out: CUT_MARKER_MAX bytes. */
size_t cut_marker(const struct cut *c, char *out);
size_t cut_marker_end(int64_t left_bytes, int64_t left_lines, char *out);
#endif
