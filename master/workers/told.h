/* What a worker tells of its host, for choosing among workers. Its word: whatever it sends, there is a value of bounded size or none. */
#ifndef MASTER_WORKERS_TOLD_H
#define MASTER_WORKERS_TOLD_H
#include <stddef.h>
#include <stdint.h>

#include "master/conf/worker_words.h"
#include "master/workers/offer.h"

enum { TOLD_TEXT_MAX = 256, TOLD_CORES_MAX = 1 << 20, TOLD_WORD_MAX = 32 };

struct told {
  char os[WORKER_WORD_MAX], arch[WORKER_WORD_MAX]; /* "": not told, or no such word */
  char kind[OFFER_NAME_MAX + 1];                   /* of the program that it runs, as offer.h names it: "linux-x86_64"; "": none that could be */
  char version[TOLD_WORD_MAX], started[TOLD_WORD_MAX]; /* of drover-worker; when it was started, another word each time. "": not told */
  char release[TOLD_TEXT_MAX], host[TOLD_TEXT_MAX];
  const char *isolation, *cgroup;                  /* how far these go, one word (static text); "": not told, or in words that we don't know */
  int64_t cores, memory;                           /* memory in bytes; -1: not told, or no such number */
};

/* As JSON, for people: all records but those that prove who it is, and what it says it can do (NULL: nothing). The caller frees it. */
char *told_json(const char *facts, size_t n, const char *features) must_check;
/* From the records of hello. */
void told_read(struct told *t, const char *facts, size_t n);
/* Of those that stand in a worker's row, which told_json() made. */
void told_read_json(struct told *t, const char *json);
#endif
