/* Keeping secrets out of a log: every occurrence of every form of a secret becomes `***`, wherever reads and chunks happen to end. Pure: bytes in, bytes out.

   What is masked: each byte that is part of any occurrence of any form. Bytes that follow each other in that are one `***`, so that neither the length of a secret nor how often it stood
   there can be seen. Held back is only a suffix that is a proper prefix of a form; mask_flush() lets it go.

   One automaton (Aho-Corasick) for a command, one struct mask_stream for each channel of it. */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define MASK_LEAST 6          /* bytes of what can be masked: shorter ones stand in any log by chance */
#define MASK_TEXT "***"
#define MASK_SLICE 65536      /* of the input, looked at in one piece */

struct mask;
struct mask *mask_new(void) must_check;
void mask_free(struct mask *m); /* wipes it; NULL: nothing */
/* A form, at least MASK_LEAST bytes (shorter ones are left out: false). Before mask_ready(). */
bool mask_add(struct mask *m, const char *form, size_t n);
/* All forms of a secret: as it is, each line of it, base64, percent-encoded, hex, escaped as in JSON. False: it is too short (line feeds at its end don't count). */
bool mask_add_secret(struct mask *m, const char *value, size_t n);
void mask_ready(struct mask *m);
size_t mask_longest(const struct mask *m); /* bytes of the longest form */

struct mask_stream {
  uint32_t at;        /* where the automaton is */
  bool masked;        /* the byte before what is held was masked, and told */
  char *bytes;        /* held, then room for a slice; wiped at the end */
  unsigned char *hit; /* for each of bytes: it is part of a form */
  size_t held;
};
void mask_stream_init(struct mask_stream *s, const struct mask *m);
void mask_stream_free(struct mask_stream *s);
/* Adds to out what is sure by now. */
void mask_feed(const struct mask *m, struct mask_stream *s, const char *p, size_t n, struct buf *out);
/* Adds what is held. The rest of a form that was begun is still known as such, and masked. */
void mask_flush(struct mask_stream *s, struct buf *out);

/* mask_forms.c: calls back for each form of a secret; line feeds at its end are not part of it. */
void mask_forms(const char *value, size_t n, void (*form)(void *arg, const char *p, size_t n), void *arg);
#endif
