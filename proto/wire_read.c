/* The wire's reader: an incremental framer over one buffer, and the typed getters of a message.

   Happy path: bytes are copied once, by wire_feed(); wire_next() cuts the line in place and hands out pointers. What was handed out is
   only passed over (off); the rest is moved to the front when at least as much was consumed, so each byte moves at most once on average.
   Failure: anything malformed makes the reader fail for good; its memory is then given back and what is fed is dropped. */
#include "proto/wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  GREETING_MAX = 16384, /* bytes of all messages before wire_reader_trust() */
  ROOM_FIRST = 1024,
  ROOM_KEEP = 16384, /* a larger buffer is given back when little comes */
  WORD_MAX = 96
};

enum reader_state {
  READER_LINE, /* the next is a line */
  READER_BLOB, /* the line is cut, its blob isn't all there */
  READER_SKIP, /* in the blob of an unknown verb */
  READER_DEAD  /* failed, for good */
};

struct wire_reader {
  enum wire_from from;
  bool trusted;
  enum reader_state state;
  enum err why;     /* of READER_DEAD */
  char *data;       /* [off, len) is not consumed */
  size_t off, len, cap;
  size_t scanned;   /* bytes from off on that hold no LF (READER_LINE) */
  size_t greeted;   /* bytes of the messages before trust */
  size_t skip;      /* bytes of blob and LF still to pass over (READER_SKIP) */
  size_t line_len;  /* of the line that was cut, with its LF (READER_BLOB) */
  size_t blob_len;
  bool has_blob;
  enum verb verb;
  int ntok;
  uint16_t tok[WIRE_TOKENS_MAX]; /* places of the tokens, from off on */
  char word[WORD_MAX];
};

struct wire_reader *wire_reader_new(enum wire_from from)
{
  struct wire_reader *r = xcalloc(1, sizeof *r);
  r->from = from;
  return r;
}

/* What a master sends may be secret (`secrets`). */
static void forget(struct wire_reader *r)
{
  if (r->data && r->from == WIRE_MASTER)
    mem_wipe(r->data, r->len);
  free(r->data);
}

void wire_reader_free(struct wire_reader *r)
{
  if (!r)
    return;
  forget(r);
  free(r);
}

void wire_reader_trust(struct wire_reader *r) { r->trusted = true; }
const char *wire_reader_word(const struct wire_reader *r) { return r->word; }
size_t wire_reader_held(const struct wire_reader *r) { return sizeof *r + r->cap; }

static void drop_memory(struct wire_reader *r)
{
  forget(r);
  r->data = NULL;
  r->off = r->len = r->cap = 0;
}

static enum err fail(struct wire_reader *r, enum err e, const char *fmt, ...) printf_like(3, 4);

static enum err fail(struct wire_reader *r, enum err e, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(r->word, sizeof r->word, fmt, ap);
  va_end(ap);
  drop_memory(r);
  r->state = READER_DEAD;
  r->why = e;
  return e;
}

void wire_reader_rest(struct wire_reader *r)
{
  if (r->off == r->len)
    drop_memory(r);
}

/* Room for n more bytes behind len. */
static void make_room(struct wire_reader *r, size_t n)
{
  size_t held = r->len - r->off, cap;
  char *data;

  if (!held) {
    r->off = r->len = 0;
    if (r->cap > ROOM_KEEP && n <= r->cap / 8)
      drop_memory(r);
  }
  if (n <= r->cap - r->len)
    return;
  if (n <= r->cap - held && held <= r->off) {
    memmove(r->data, r->data + r->off, held);
  } else {
    cap = held + n > 2 * held ? held + n : 2 * held;
    cap = cap < ROOM_FIRST ? ROOM_FIRST : cap;
    if (r->state == READER_BLOB && r->trusted && cap < r->line_len + r->blob_len + 1)
      cap = r->line_len + r->blob_len + 1; /* at once: the limit of the verb was looked at, and pages that nothing comes for are not touched */
    data = xmalloc(cap);
    if (held)
      memcpy(data, r->data + r->off, held);
    forget(r);
    r->data = data;
    r->cap = cap;
  }
  r->off = 0;
  r->len = held;
}

void wire_feed(struct wire_reader *r, const void *p, size_t n)
{
  const char *from = p;

  if (r->state == READER_DEAD)
    return;
  if (!r->trusted && r->len - r->off > GREETING_MAX) {
    (void)fail(r, ERR_TOOBIG, "too much before the greeting is over");
    return;
  }
  /* The blob of an unknown verb is never stored; its LF is, to be looked at. */
  if (r->state == READER_SKIP && r->off == r->len && r->skip > 1) {
    size_t k = n < r->skip - 1 ? n : r->skip - 1;
    r->skip -= k;
    from += k;
    n -= k;
  }
  if (!n)
    return;
  make_room(r, n);
  memcpy(r->data + r->len, from, n);
  r->len += n;
}

/* Cuts the verb off the line [0, n) (LF not counted) and finds it; VERB_COUNT: none that we take. */
static enum err cut_verb(struct wire_reader *r, char *line, size_t n)
{
  size_t k = 0;

  while (k < n && line[k] >= 'a' && line[k] <= 'z')
    k++;
  if (k < 1 || k > WIRE_VERB_MAX || (k < n && line[k] != ' '))
    return fail(r, ERR_SYNTAX, "a line without a verb");
  line[k] = 0;
  for (r->verb = 0; r->verb < VERB_COUNT; r->verb++)
    if (!strcmp(wire_verbs[r->verb].name, line))
      break;
  if (r->verb < VERB_COUNT && !(wire_verbs[r->verb].from & r->from))
    r->verb = VERB_COUNT;
  return ERR_OK;
}

/* Cuts the line's tokens; a last one +N becomes blob_len. */
static enum err cut_tokens(struct wire_reader *r, char *line, size_t n, size_t at)
{
  const char *verb = line;
  int64_t size;

  r->ntok = 0;
  r->has_blob = false;
  while (at < n) {
    char *tok = line + at + 1, *end = memchr(tok, ' ', n - at - 1);
    size_t len = end ? (size_t)(end - tok) : n - at - 1;
    if (!wire_is_token(tok, len))
      return fail(r, ERR_SYNTAX, "%s: token %d is not well-formed", verb, r->ntok + 1);
    if (r->ntok == WIRE_TOKENS_MAX)
      return fail(r, ERR_SYNTAX, "%s: more than %d tokens", verb, WIRE_TOKENS_MAX);
    tok[len] = 0;
    r->tok[r->ntok++] = (uint16_t)(at + 1);
    at += 1 + len;
  }
  if (r->ntok && line[r->tok[r->ntok - 1]] == '+') {
    size_t digits = r->tok[r->ntok - 1] + 1u;
    if (str_number(line + digits, n - digits, &size))
      return fail(r, ERR_SYNTAX, "%s: not the size of a blob", verb);
    r->ntok--;
    r->has_blob = true;
    if (size > (r->verb < VERB_COUNT ? wire_verbs[r->verb].blob_max : WIRE_SKIP_MAX))
      return fail(r, ERR_TOOBIG, "%s: a blob of %" PRId64 " bytes", verb, size);
    r->blob_len = (size_t)size;
  }
  if (r->verb < VERB_COUNT && r->ntok != wire_verbs[r->verb].tokens)
    return fail(r, ERR_SYNTAX, "%s: %d tokens instead of %d", verb, r->ntok, wire_verbs[r->verb].tokens);
  return ERR_OK;
}

/* ERR_OK: a line was cut, and the state says what comes of it. */
static enum err next_line(struct wire_reader *r)
{
  size_t held = r->len - r->off, look = held < WIRE_LINE_MAX ? held : WIRE_LINE_MAX, n;
  char *line = r->data + r->off, *lf = NULL;
  enum err e;

  if (look > r->scanned)
    lf = memchr(line + r->scanned, '\n', look - r->scanned);
  if (!lf) {
    r->scanned = look;
    if (held >= WIRE_LINE_MAX)
      return fail(r, ERR_TOOBIG, "a line that is too long");
    return ERR_AGAIN;
  }
  r->scanned = 0;
  n = (size_t)(lf - line);
  if ((e = cut_verb(r, line, n)))
    return e;
  if ((e = cut_tokens(r, line, n, strlen(line))))
    return e;
  r->line_len = n + 1;
  if (!r->trusted) {
    r->greeted += r->line_len + (r->has_blob ? r->blob_len + 1 : 0);
    if (r->greeted > GREETING_MAX)
      return fail(r, ERR_TOOBIG, "%s: too much before the greeting is over", line);
  }
  if (r->verb == VERB_COUNT) {
    memcpy(r->word, line, strlen(line) + 1);
    r->off += r->line_len;
    r->skip = r->has_blob ? r->blob_len + 1 : 0;
    r->state = READER_SKIP;
  } else {
    r->state = READER_BLOB;
  }
  return ERR_OK;
}

static enum err next_skip(struct wire_reader *r)
{
  size_t held = r->len - r->off;

  if (r->skip > 1) {
    size_t k = held < r->skip - 1 ? held : r->skip - 1;
    r->off += k;
    r->skip -= k;
    held -= k;
  }
  if (r->skip && !held)
    return ERR_AGAIN;
  if (r->skip && r->data[r->off++] != '\n')
    return fail(r, ERR_SYNTAX, "no line feed after the blob of an unknown verb");
  r->skip = 0;
  r->state = READER_LINE;
  return ERR_UNKNOWN;
}

static enum err next_message(struct wire_reader *r, struct wire_msg *m)
{
  char *line = r->data + r->off;
  size_t whole = r->line_len + (r->has_blob ? r->blob_len + 1 : 0);

  if (r->len - r->off < whole)
    return ERR_AGAIN;
  if (r->has_blob && line[whole - 1] != '\n')
    return fail(r, ERR_SYNTAX, "%s: no line feed after the blob", line);
  memset(m, 0, sizeof *m);
  m->verb = r->verb;
  m->ntok = r->ntok;
  for (int i = 0; i < r->ntok; i++)
    m->tok[i] = line + r->tok[i];
  if (r->has_blob) {
    m->blob = line + r->line_len;
    m->blob_len = r->blob_len;
  }
  r->off += whole;
  r->state = READER_LINE;
  return ERR_OK;
}

enum err wire_next(struct wire_reader *r, struct wire_msg *m)
{
  enum err e;

  if (r->state == READER_DEAD)
    return r->why;
  if (r->state == READER_LINE && (e = next_line(r)))
    return e;
  return r->state == READER_SKIP ? next_skip(r) : next_message(r, m);
}

static const char *token(struct wire_msg *m, int i)
{
  assert(i >= 0 && i < m->ntok);
  return m->tok[i];
}

int64_t wire_num(struct wire_msg *m, int i)
{
  const char *s = token(m, i);
  int64_t n;

  if (str_number(s, strlen(s), &n)) {
    m->bad = true;
    return 0;
  }
  return n;
}

struct id wire_id(struct wire_msg *m, int i)
{
  const char *s = token(m, i);
  struct id id;

  if (str_id(s, strlen(s), &id)) {
    m->bad = true;
    return (struct id){ 0, 0 };
  }
  return id;
}

uint32_t wire_crc(struct wire_msg *m, int i)
{
  const char *s = token(m, i);
  unsigned char b[4];

  if (str_unhex(s, strlen(s), b, sizeof b)) {
    m->bad = true;
    return 0;
  }
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

const char *wire_str(struct wire_msg *m, int i) { return token(m, i); }

void wire_wipe_blob(struct wire_msg *m)
{
  if (m->blob)
    mem_wipe((char *)(uintptr_t)m->blob, m->blob_len);
}
