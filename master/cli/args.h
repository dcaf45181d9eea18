/* Words of the command line, sorted into a command, its arguments and flags, by two tables (commands.c, args.c). */
#ifndef MASTER_CLI_ARGS_H
#define MASTER_CLI_ARGS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

/* id, letter (0: none), value's name (NULL: takes none), help */
#define FLAG_LIST(X)                                                                                              \
  X(SOCKET, socket, 0, "PATH", "the master's socket (default: $DROVER_SOCKET, else /run/drover/drover.sock)")     \
  X(HOST, host, 'H', "ssh://HOST", "the master on that host, through ssh; ssh://USER@HOST:PORT/SOCKET says more") \
  X(JSON, json, 0, NULL, "the API's JSON as it came; where it goes on, one object a line")                        \
  X(NO_COLOR, no-color, 0, NULL, "no colours (also: NO_COLOR in the environment, or not a terminal)")             \
  X(HELP, help, 'h', NULL, "this text; after a command: about that command")                                      \
  X(VERSION, version, 0, NULL, "the version")                                                                     \
  X(BRANCH, branch, 'b', "BRANCH", "of this branch")                                                              \
  X(REVISION, revision, 'r', "REVISION", "at this revision (default: the branch's tip)")                          \
  X(PROPERTY, property, 'p', "NAME=VALUE", "a property; may be repeated")                                         \
  X(REASON, reason, 0, "TEXT", "why, for the record")                                                             \
  X(WAIT, wait, 'w', NULL, "wait for the end, exit with the result")                                              \
  X(FOLLOW, follow, 'f', NULL, "show what happens (the steps and their logs) live until the end")              \
  X(RETRY, retry, 0, "TIME", "how long to wait for a master that went away (default 60s)")                        \
  X(RAW, raw, 0, NULL, "the log's bytes exactly as they are, nothing made harmless")                              \
  X(LOG, log, 0, "NAME", "of a file that the step's command wrote (`logs`), instead of what it wrote itself")               \
  X(LIMIT, limit, 'n', "N", "at most so many (1 to 1000, default 50)")                                            \
  X(BEFORE, before, 0, "ID", "go on behind this one (the list's last line names it)")                             \
  X(BUILDER, builder, 0, "PROJECT/BUILDER", "only of this builder")                                               \
  X(BUILDSET, buildset, 0, "ID", "only of this buildset")                                                         \
  X(STATE, state, 0, "STATE", "only in this state (waiting, pending, claimed, running, cancelling, done)")        \
  X(PROJECT, project, 0, "PROJECT", "the project")                                                                \
  X(CODEBASE, codebase, 0, "NAME", "of which codebase, where the project has several")                               \
  X(AT, at, 0, "CODEBASE=REVISION", "that codebase at this revision, tag or branch; may be repeated")               \
  X(REPOSITORY, repository, 0, "URL", "where the change is (default: the project's)")                             \
  X(AUTHOR, author, 0, "TEXT", "who made the change")                                                             \
  X(COMMITTER, committer, 0, "TEXT", "who committed it")                                                          \
  X(CATEGORY, category, 0, "TEXT", "what kind of change it is")                                                   \
  X(MESSAGE, message, 'm', "TEXT", "the change's message")                                                        \
  X(FILE, file, 0, "PATH", "a file that the change touches; may be repeated")                                     \
  X(SLOTS, slots, 0, "N", "builds at a time (default 1)")                                                         \
  X(TAG, tag, 0, "TAG", "a tag; may be repeated")                                                                 \
  X(LAST, last, 0, "N", "the last N changes (1 to 200, default 20)")                                              \
  X(SITE, site, 0, NULL, "the site's configuration, master.yaml and conf.d")                                       \
  X(FAILED, failed, 0, NULL, "of the step that failed in the last build that did")                                \
  X(WATCH, watch, 0, NULL, "again and again, until Ctrl-C; needs a terminal")                                     \
  X(NAME, name, 0, "NAME", "the worker's name (default: the host's first label)")                                 \
  X(SSH, ssh, 0, "COMMAND", "the ssh to use, with its options (default: ssh)")                                    \
  X(OTHERS, others, 0, NULL, "also the requests of older changes that were collapsed into it")                     \
  X(ONLY, only, 0, NULL, "this alone, not what needed it")                                                        \
  X(PATCH, patch, 0, "FILE", "this patch (- is standard input) instead of what differs here")                      \
  X(FOR, for, 0, "TIME", "for so long: 30m, 2h, 1d (default: until it is resumed)")                                \
  X(ALL, all, 'a', NULL, "also steps that are hidden (hide_if); of workers: all that are connected")         \
  X(THEN, then, 0, "WHAT", "when nothing is built there any more: stop (the default), restart or upgrade")         \
  X(DOWNGRADE, downgrade, 0, NULL, "also where what is handed out is older")                                       \
  X(TAKE, take, 0, NULL, "also where another one sends to it; that one is told")                                   \
  X(ROTATE, rotate, 0, NULL, "make another one; the one before it is good until it is dropped")                    \
  X(DROP, drop, 0, NULL, "forget the one of before the rotation")                                                  \
  X(FORCE, force, 0, NULL, "also where hosts have not let the new one in")                                         \
  X(QUIET, quiet, 'q', NULL, "only what a program wants to read")

enum flag_id {
#define X(id, name, letter, value, help) FLAG_##id,
  FLAG_LIST(X)
#undef X
  FLAG_COUNT
};
#define FLAG_BIT(id) (UINT64_C(1) << FLAG_##id)
#define FLAGS_GLOBAL (FLAG_BIT(SOCKET) | FLAG_BIT(HOST) | FLAG_BIT(JSON) | FLAG_BIT(NO_COLOR) | FLAG_BIT(HELP) | FLAG_BIT(VERSION))

struct flag {
  const char *name;
  char letter;
  const char *value, *help;
};
extern const struct flag args_flags[FLAG_COUNT];

struct arg_value {
  enum flag_id flag;
  const char *value; /* "" for a flag without one */
};
/* All strings are argv's. */
struct args {
  const char **words;        /* what is no flag; first the command's */
  int nwords;
  struct arg_value *values;  /* in order */
  int nvalues;
};

/* Sorts argv (without the program's name). False: *why says what is wrong, in a sentence. */
bool args_parse(struct args *a, int argc, char **argv, struct buf *why) must_check;
void args_free(struct args *a);

bool args_has(const struct args *a, enum flag_id f);
const char *args_value(const struct args *a, enum flag_id f);                 /* the last one given; NULL: none */
const char *args_each(const struct args *a, enum flag_id f, int *at);         /* walk: *at starts at 0; NULL at the end */
/* A flag that is not in allowed; FLAG_COUNT where all are. */
enum flag_id args_stranger(const struct args *a, uint64_t allowed);
/* The nearest of n names, NULL where none is near enough to be meant. */
const char *args_nearest(const char *word, const char *const *names, int n);
#endif
