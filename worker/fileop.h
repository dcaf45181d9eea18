/* What a file operation does, in its child process (docs/protocol.md 5). fileop_start.c starts the child, files.c reads its pipe.

   The pipe carries frames: a kind, the length in the host's order, so many bytes. Pieces of the answer first (FRAME_DATA), then one end (FRAME_END): the tag,
   NUL, and the blob of `done`. */
#ifndef WORKER_FILEOP_H
#define WORKER_FILEOP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/err.h"
#include "proto/wire.h"
#include "worker/confine.h"

enum { FRAME_DATA = 'd', FRAME_END = 'e', FRAME_HEAD = 5 };
#define FRAME_MAX 65536      /* bytes behind the head */
#define FILEOP_ANSWER_MAX 8192 /* of an end */

struct fileop {
  int work, to;      /* the work folder; the pipe */
  enum verb verb;
  int64_t a, b;      /* the numbers behind `req` */
  const char *path;  /* valid by beneath_valid() */
  const char *blob;  /* what the message held, n bytes and a NUL */
  size_t n;
  pid_t agent;       /* its parent */
  const struct confine *confine; /* places have users of their own; NULL: they have not */
  struct buf out;    /* records of `done` */
  const char *tag, *text; /* of a failure that has no errno: fileop_fail() */
};

/* In the agent, before the child: is the message's blob well-formed for the verb? Sets *path (into the blob). ERR_BADARG: *why (static text). */
enum err fileop_check(enum verb v, int64_t a, int64_t b, const char *blob, size_t n, const char **path, const char **why) must_check;
/* In a child, for which op->path and op->blob are enough; below: the folder that the path is below. Its pipe, which is not blocking, or -1. */
int fileop_start(struct fileop *op, int below, pid_t *pid);
void fileop_kill(pid_t pid); /* one that may not have ended yet */
/* There: does it, answers on op->to. The process's exit code. */
int fileop_main(struct fileop *op);

/* Between the files of the operations. An operation returns 0, or -1 with errno or after fileop_fail(). */
int fileop_fail(struct fileop *op, const char *tag, const char *text);
/* A piece of the answer, at most FRAME_MAX bytes. */
int fileop_data(struct fileop *op, const void *p, size_t n);
/* Room for one piece: writing it from here copies nothing. */
char *fileop_room(void);
/* The records type, size, mode and mtime. */
void fileop_put_stat(struct buf *out, const struct stat *st);
/* The regular file at op->path, for reading, no link followed at its end; -1: as an operation. */
int fileop_open(struct fileop *op, struct stat *st);
bool fileop_mode(const char *s, mode_t *mode); /* 1 to 4 octal digits; only permissions are kept */
/* The name of the part beside a file that is being made: the same for the same name and word. */
void fileop_part_name(const char *leaf, const char *word, char *out, size_t n);
/* The part, open as fd, takes its mode and its name. */
int fileop_place(struct fileop *op, int fd, int dir, const char *part, const char *leaf, mode_t mode);
int fileop_list(struct fileop *op);
int fileop_get(struct fileop *op);
int fileop_put(struct fileop *op);
int fileop_rename(struct fileop *op);
int fileop_copy(struct fileop *op);
int fileop_glob(struct fileop *op);
int fileop_puttree(struct fileop *op);
int fileop_gettree(struct fileop *op);
int fileop_facts(struct fileop *op); /* of the host; op->path counts for nothing */
#endif
