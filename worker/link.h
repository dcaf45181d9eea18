/* The link to the master: connecting, TLS, bytes in and out, being alive, connecting again. It knows no messages but ping and pong.

     wait ──▶ resolve ──▶ connect ──▶ greet ──▶ up       all but wait go back to wait;
       └─────────────────────▲  └──▶ proxy ──▲           wait sleeps until link_due() */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/sm.h"
#include "proto/token.h"
#include "proto/wire.h"
#include "worker/proxy.h"
#include "worker/resolve.h"
#include "worker/tls.h"

enum link_state { LINK_WAIT, LINK_RESOLVE, LINK_CONNECT, LINK_PROXY, LINK_GREET, LINK_UP, LINK_STATES };

/* Why a link ends, which says when the next is tried (docs/protocol.md 6). */
enum link_end {
  LINK_REFUSED, /* no connection: next address, or a random time up to 1 s */
  LINK_FAILED,  /* connected (perhaps to a proxy only), but no welcome: doubling from 1 s to 60 s */
  LINK_LOST,    /* after a welcome: a random time up to 1 s */
  LINK_TOLD     /* what `busy` said */
};

#define LINK_TAG_MAX 24
#define LINK_WHY_MAX 400
/* Why it last came to nothing, for people and for the status file. */
struct link_note {
  char tag[LINK_TAG_MAX]; /* unknown-host unreachable proxy key tls closed silent protocol incarnation no-<reason of the master> */
  char why[LINK_WHY_MAX]; /* a sentence, printable */
  unsigned count;         /* how often since the last welcome */
};

struct link {
  const struct token *token;
  const struct proxy *proxy; /* its address has no host: there is none */
  struct sm sm;
  int address; /* which of the token's */
  struct resolve_target target[RESOLVE_MAX];
  int targets, next_target, number; /* number: errno of the last target */
  int fd;
  int given;                /* standard input, where the master has dialled: the only connection there will be; -1 once it is used, and where the worker dials */
  const struct tls_ops *ops;
  struct tls *tls;
  struct wire_reader *in;
  struct buf out;
  size_t out_at;            /* bytes of it that are written */
  int64_t due;              /* wait: when to try; connect, greet: when to give up */
  int64_t heard_at, said_at; /* on clock_mono_ms() */
  int64_t ping_ms, ping_n, backoff_ms;
  struct proxy_reply reply; /* of the proxy */
  struct link_note note;
};

#define LINK_OUT_MAX (16u << 20)  /* inventories and answers; log chunks stop at LINK_OUT_FULL */
#define LINK_OUT_FULL (256u << 10)
#define LINK_OUT_DEAF (1u << 20)  /* with so much unsent nothing more is read */

void link_init(struct link *l, const struct token *t, const struct proxy *p);
void link_on_stdio(struct link *l); /* stdio.h: right after link_init() */
void link_free(struct link *l, const char *bye); /* says bye where it is up */
struct pollfd link_poll(const struct link *l);
/* What poll said, and time: connects, reads. True: it has come to `greet` and wants a hello. */
bool link_turn(struct link *l, short revents, int64_t now);
int64_t link_due(const struct link *l, int64_t now); /* when link_turn() is to be called at the latest */
/* The next message. ERR_AGAIN: none. Other errors: the link was ended. Unknown verbs, ping and pong are answered here. */
enum err link_next(struct link *l, struct wire_msg *m) must_check;
void link_flush(struct link *l);
size_t link_queued(const struct link *l);
/* The greeting is over. */
void link_up(struct link *l, int64_t ping_ms);
/* Says bye (where `bye` is not NULL and it can be sent) and closes. after_ms: for LINK_TOLD and, as the least, LINK_FAILED. */
void link_end(struct link *l, enum link_end how, const char *bye, int64_t after_ms);
/* Says in the log, and keeps, why it came to nothing. Before link_end(). */
void link_note(struct link *l, enum log_level level, const char *tag, const char *fmt, ...) printf_like(4, 5);
const char *link_address(const struct link *l, char *out, size_t n); /* of the master, as the token has it: for people */
/* The master said something that it must not: one line in the log, bye protocol. */
void link_broken(struct link *l, const char *what);
bool link_is(const struct link *l, enum link_state s);
#endif
