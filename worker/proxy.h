/* Going to the master through an HTTP proxy (CONNECT). Pure: addresses, a request and an answer as bytes; link.c has the socket. */
#ifndef WORKER_PROXY_H
#define WORKER_PROXY_H
#include "common/buf.h"
#include "common/err.h"
#include "proto/token.h"

#define PROXY_HEAD_MAX 8192   /* of its answer; more is an attempt to keep us busy */
#define PROXY_STATUS_MAX 160  /* of the status line are kept */
#define PROXY_REQUEST_MAX 2048
#define PROXY_WHY_MAX 256

struct proxy {
  struct token_address address; /* host NULL: no proxy */
  char *credentials;            /* base64 of USER:PASSWORD; or NULL */
};

/* http://[USER:PASSWORD@]HOST[:PORT][/]; %XX in user and password. ERR_SYNTAX: *why (static) says what is wrong, nothing of the password is in it. */
enum err proxy_parse(const char *url, struct proxy *p, const char **why) must_check;
void proxy_free(struct proxy *p); /* wipes the credentials */
void proxy_request(struct buf *out, const struct proxy *p, const struct token_address *to);

enum proxy_answer {
  PROXY_MORE,    /* it is not whole yet */
  PROXY_OPEN,    /* the connection is there: what comes next is the master's */
  PROXY_REFUSED, /* why has its status line */
  PROXY_BROKEN   /* this is no answer of a proxy; why says what it is */
};
/* All zero at first. */
struct proxy_reply {
  char status[PROXY_STATUS_MAX + 1]; /* the status line so far, harmless */
  size_t len, total;                 /* bytes of the line now; of everything */
  int line;                          /* 0: the status line */
};
/* The next n bytes of the answer. why is set for PROXY_REFUSED and PROXY_BROKEN: printable ASCII. */
enum proxy_answer proxy_take(struct proxy_reply *r, const char *p, size_t n, char why[PROXY_WHY_MAX]) must_check;
#endif
