/* File operations that are asked of a connected worker (docs/protocol.md 5), and their answers put together. They are forgotten with the session: whoever wants one still asks it again on
   the next, as its state in the database says. */
#ifndef MASTER_WORKERS_OPS_H
#define MASTER_WORKERS_OPS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

struct session;

struct ops_ask {
  enum verb verb;
  const char *path;            /* below the work folder */
  const char *after, *version; /* of list and get; NULL: none */
  const char *const *tools;    /* of facts: ntools names */
  int ntools;
  int64_t wait_ms;             /* above 0: done is called in any case, with the tag `timeout` after so long and `away` where the link is lost */
  int64_t off, max;            /* tail: max bytes, at most WIRE_TAIL_MAX; list: max entries, at most WIRE_LIST_MAX; get: max bytes from off on, at most OPS_GET_MAX */
};
#define OPS_GET_MAX (4u << 20) /* of one answer, which the master holds in memory */

/* Borrowed for the call of ops_done. */
struct ops_answer {
  const char *tag;             /* "ok" or an error's: docs/protocol.md 6 */
  const char *text;            /* with an error: a sentence, the worker's word, UTF-8; else "" */
  const char *records;         /* with ok: well-formed by records_valid() */
  size_t nrecords;
  const char *data;            /* of list (listing.h), get and tail, NUL-ended; with ok as long as asked for at most, and its checksum was compared */
  size_t ndata;
};
typedef void ops_done(void *arg, const struct ops_answer *a);

/* Returns its number, for ops_forget(); done is called once, from the loop, unless it is forgotten, as all without wait_ms are with the session. 0: the worker is too old to know the verb; nothing is sent. */
int64_t ops_ask(struct session *s, const struct ops_ask *ask, ops_done *done, void *arg);
/* The sentence for people when ops_ask() returned 0. The caller frees it. */
char *ops_too_old(const struct session *s, enum verb v) must_check;
void ops_forget(struct session *s, int64_t req);

/* Of session_msg.c: messages. An answer that is larger than it was asked for closes the session. */
void ops_data(struct session *s, struct wire_msg *m);
void ops_answered(struct session *s, struct wire_msg *m);
void ops_free(struct session *s);
void ops_tick(struct session *s); /* now and then */
void ops_lost(struct session *s); /* the session ends */
#endif
