/* The command line `drover`: what every command is handed, exit codes, and the ways out to a person's terminal.

   Nothing that came from the server reaches a terminal but through out(), the table and the log's sink, which make it harmless.
   */
#ifndef MASTER_CLI_CLI_H
#define MASTER_CLI_CLI_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "master/cli/args.h"
#include "master/cli/fmt.h"

#define CLI_SOCKET "/run/drover/drover.sock" /* where --socket and DROVER_SOCKET are silent */

enum cli_exit {
  CLI_OK = 0,        /* success, or warnings */
  CLI_FAILURE = 1,   /* the build failed; nothing else ends so */
  CLI_USAGE = 2,     /* usage or configuration; the master refused what was asked */
  CLI_EXCEPTION = 3, /* exception, or lost for good; something broke on the way */
  CLI_CANCELLED = 4, /* cancelled or skipped */
  CLI_AWAY = 5,      /* the master (or its database) was not reached */
  CLI_INTERRUPTED = 130,
};

struct http;

struct cli {
  const char *socket;
  bool all;              /* hidden steps too */
  bool json, color, tty; /* color: SGR may be written to standard output; tty: it is a terminal */
  int width;             /* columns of the terminal; 0: no limit */
  int64_t call_ms;       /* how long an answer may take */
  int64_t retry_ms;      /* how long a follower waits for a master that went away */
  int64_t told_ms;       /* when that was last said; 0: never */
  struct http *http;     /* for one request at a time */
  struct buf text;       /* body of the last answer, as it came */
  int code;              /* what went wrong last, as an exit code */
  bool at_line_start;
  int write_errno;       /* of the first write to standard output that failed; 0: none */
};

/* A piece of a line for people, on standard output. A line feed or other control byte in it is shown as ^J and the like. */
void out(struct cli *c, enum style style, const char *fmt, ...) printf_like(3, 4);
void out_end(struct cli *c);                                       /* ends the line */
/* "label     ", padded to ten columns, at least two blanks. */
void out_label(struct cli *c, enum style style, const char *label);
/* Text of several lines, each indented. */
void out_block(struct cli *c, int indent, const char *text);
/* Bytes that are harmless already. */
void out_bytes(struct cli *c, const void *p, size_t n);
void out_flush(struct cli *c); /* what was written is on its way before anything is waited for */
/* The last answer as it came, and a line feed. On a terminal, made harmless. */
void out_json(struct cli *c);

/* {"key": value} on a line of its own, for streams. */
void out_json_line(struct cli *c, const char *key, const cJSON *value);
/* Ends a line that a log left open. */
void out_fresh_line(struct cli *c);

/* "drover: …" on standard error, one line, harmless. Returns code, for `return cli_error(…)`. */
int cli_error(struct cli *c, int code, const char *fmt, ...) printf_like(3, 4);
/* "  …" below it: what to do. */
void cli_hint(const char *fmt, ...) printf_like(1, 2);

/* A result (docs/api.md) as an exit code. */
int cli_exit_of(int result);
#endif
