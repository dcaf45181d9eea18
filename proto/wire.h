/* The wire (docs/protocol.md 1): bytes in, messages out, and back. No I/O, no time, no globals.

   Reading:  wire_feed() what came from the socket, then wire_next() until it says ERR_AGAIN.
   Writing:  wire_put(&out, VERB_ack, "isii", &cmd, "0", off, limit); one check of out.failed at the end. */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/str.h"

#define WIRE_VERSION 1
#define WIRE_LINE_MAX 4096       /* with the LF */
#define WIRE_VERB_MAX 16
#define WIRE_TOKEN_MAX 255
#define WIRE_TOKENS_MAX 16       /* beside the verb */
#define WIRE_SKIP_MAX (16u << 20) /* blob of an unknown verb */

#define WIRE_LIST_MAX 4096        /* entries that one `list` may ask for */
#define WIRE_ENTRY_MAX 400        /* bytes of one entry's records in its answer; of `glob` with so many more as its path has */
#define WIRE_TREE_MAX (16 << 20)  /* bytes that one `gettree` may ask for */
#define WIRE_TREE_FILE_MAX ((1 << 20) - 8192) /* a larger file is told without its bytes */
#define WIRE_TAIL_MAX 65536       /* bytes that one `tail` may ask for */
#define WIRE_TOOLS_MAX 16          /* that one `facts` may name */
#define WIRE_TOOL_MAX 64           /* bytes of such a name */
#define WIRE_PATTERN_MAX 255      /* of `glob` */

enum verb {
#define V(name, from, tokens, blob) VERB_##name,
#include "proto/verbs.def"
#undef V
  VERB_COUNT
};

enum wire_from { WIRE_WORKER = 1, WIRE_MASTER = 2, WIRE_BOTH = 3 };

struct wire_verb {
  const char *name;
  enum wire_from from;
  int tokens;         /* exactly so many, without the +N */
  const char *names;  /* of the tokens, by one blank */
  int64_t blob_max;   /* -1: takes no blob */
};
extern const struct wire_verb wire_verbs[VERB_COUNT];

/* One message. Pointers are into the reader: valid until the next wire_next() or wire_feed(). Tokens end in NUL. */
struct wire_msg {
  enum verb verb;
  int ntok;
  const char *tok[WIRE_TOKENS_MAX];
  const char *blob; /* NULL: none (any verb may come without one: the caller checks); else blob[blob_len] is readable and LF or NUL */
  size_t blob_len;
  bool bad; /* sticky: a getter met something else than it was asked for */
};

/* Typed getters; they set m->bad and return 0 / "" / {0,0} where the token is not of the kind. */
int64_t wire_num(struct wire_msg *m, int i);
struct id wire_id(struct wire_msg *m, int i);
uint32_t wire_crc(struct wire_msg *m, int i);
const char *wire_str(struct wire_msg *m, int i);
/* Overwrites its blob, which held a secret. */
void wire_wipe_blob(struct wire_msg *m);

struct wire_reader;
/* from: whose messages are accepted (WIRE_WORKER in the master). A verb of the other side counts as unknown. */
struct wire_reader *wire_reader_new(enum wire_from from) must_check;
void wire_reader_free(struct wire_reader *r);
/* Before the greeting is over, messages are limited to 16 KiB in all; lift that after it. */
void wire_reader_trust(struct wire_reader *r);
void wire_feed(struct wire_reader *r, const void *p, size_t n);
/* ERR_OK: *m is a message. ERR_AGAIN: feed more. ERR_UNKNOWN: an unknown verb was skipped (its name: wire_reader_word), go on.
   ERR_SYNTAX, ERR_TOOBIG: close the link; wire_reader_word() says what was wrong. */
enum err wire_next(struct wire_reader *r, struct wire_msg *m) must_check;
const char *wire_reader_word(const struct wire_reader *r);
/* Nothing came for a while: gives back the memory of an empty reader. */
void wire_reader_rest(struct wire_reader *r);
size_t wire_reader_held(const struct wire_reader *r); /* bytes of memory it holds, for the limits */

/* Appends one message. kinds: one letter a token: 's' const char*, 'n' int64_t, 'i' const struct id*, 'c' uint32_t CRC. A token with a byte
   outside the alphabet, empty, or too long makes out->failed (programming error of the caller: it must have checked). */
void wire_put(struct buf *out, enum verb v, const char *kinds, ...);
/* The same with a blob of n bytes. */
void wire_put_blob(struct buf *out, enum verb v, const void *blob, size_t n, const char *kinds, ...);
bool wire_is_token(const char *s, size_t n);
#endif
