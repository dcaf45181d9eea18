/* The automaton, and streams of bytes through it.

   Most nodes of the trie have one child: they keep a byte and a link. Those with many have a row for all bytes, the root too, so that what is no form costs one look a byte. A missing child is
   looked for along `fail`, the node of the longest proper suffix that begins a form. */
#include "worker/mask.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 0, NONE = 0, ROW_FROM = 4 /* children: more are looked up in a row */, BYTES = 256 };

struct node {
  uint32_t child, sibling, fail; /* NONE: no such (the root is nobody's child) */
  uint32_t depth;
  uint32_t found;   /* bytes of the longest form that ends here; 0: none */
  uint32_t row;     /* in rows; 0: none (that of the root is the first one) */
  uint32_t hold;    /* bytes of the longest suffix that is a proper prefix of a form */
  unsigned char byte;
};

struct mask {
  struct node *v;
  uint32_t n, cap;
  uint32_t *rows;   /* BYTES each: the next state, whatever fail says counted */
  uint32_t nrows;
  uint32_t longest;
};

struct mask *mask_new(void)
{
  struct mask *m = xcalloc(1, sizeof *m);

  m->cap = 64;
  m->v = xcalloc(m->cap, sizeof *m->v);
  m->n = 1;
  return m;
}

void mask_free(struct mask *m)
{
  if (!m)
    return;
  mem_wipe(m->v, m->cap * sizeof *m->v);
  if (m->rows)
    mem_wipe(m->rows, (size_t)m->nrows * BYTES * sizeof *m->rows);
  free(m->v);
  free(m->rows);
  free(m);
}

static uint32_t child_of(const struct mask *m, uint32_t at, unsigned char byte)
{
  uint32_t c = m->v[at].child;

  while (c != NONE && m->v[c].byte != byte)
    c = m->v[c].sibling;
  return c;
}

static uint32_t add_node(struct mask *m, uint32_t parent, unsigned char byte)
{
  if (m->n == m->cap) { /* no realloc: what it leaves behind could not be wiped */
    struct node *more = xcalloc(m->cap, 2 * sizeof *more);
    memcpy(more, m->v, m->n * sizeof *more);
    mem_wipe(m->v, m->cap * sizeof *m->v);
    free(m->v);
    m->v = more;
    m->cap *= 2;
  }
  m->v[m->n] = (struct node){ .sibling = m->v[parent].child, .depth = m->v[parent].depth + 1, .byte = byte };
  m->v[parent].child = m->n;
  return m->n++;
}

bool mask_add(struct mask *m, const char *form, size_t n)
{
  uint32_t at = ROOT;

  if (n < MASK_LEAST)
    return false;
  for (size_t i = 0; i < n; i++) {
    uint32_t c = child_of(m, at, (unsigned char)form[i]);
    at = c == NONE ? add_node(m, at, (unsigned char)form[i]) : c;
  }
  m->v[at].found = (uint32_t)n;
  m->longest = n > m->longest ? (uint32_t)n : m->longest;
  return true;
}

static void add_form(void *arg, const char *p, size_t n)
{
  mask_add(arg, p, n);
}

bool mask_add_secret(struct mask *m, const char *value, size_t n)
{
  uint32_t before = m->longest;

  while (n && value[n - 1] == '\n')
    n--;
  if (n < MASK_LEAST)
    return false;
  mask_forms(value, n, add_form, m);
  return m->longest >= before;
}

/* The state after byte. */
static inline uint32_t step(const struct mask *m, uint32_t at, unsigned char byte)
{
  for (;;) {
    const struct node *v = &m->v[at];
    uint32_t c;
    if (v->row || at == ROOT)
      return m->rows[(size_t)v->row * BYTES + byte];
    for (c = v->child; c != NONE; c = m->v[c].sibling)
      if (m->v[c].byte == byte)
        return c;
    at = v->fail;
  }
}

static bool wants_row(const struct mask *m, uint32_t at)
{
  int n = 0;

  for (uint32_t c = m->v[at].child; c != NONE && n <= ROW_FROM; c = m->v[c].sibling)
    n++;
  return at == ROOT || n > ROW_FROM;
}

static void fill_row(struct mask *m, uint32_t at, uint32_t row)
{
  uint32_t *r = m->rows + (size_t)row * BYTES;

  for (int b = 0; b < BYTES; b++)
    r[b] = at == ROOT ? ROOT : step(m, m->v[at].fail, (unsigned char)b);
  for (uint32_t c = m->v[at].child; c != NONE; c = m->v[c].sibling)
    r[m->v[c].byte] = c;
  m->v[at].row = row;
}

/* Breadth first: a node's `fail` is shallower, so all that is asked of it is known. */
void mask_ready(struct mask *m)
{
  uint32_t *queue = xcalloc(m->n, sizeof *queue), head = 0, tail = 0, rows = 0;

  for (uint32_t i = 0; i < m->n; i++)
    rows += wants_row(m, i);
  m->rows = xcalloc((size_t)rows * BYTES, sizeof *m->rows);
  queue[tail++] = ROOT;
  while (head < tail) {
    uint32_t at = queue[head++];
    struct node *v = &m->v[at];
    if (at != ROOT && m->v[v->fail].found > v->found)
      v->found = m->v[v->fail].found;
    v->hold = v->child != NONE ? v->depth : m->v[v->fail].hold;
    if (wants_row(m, at))
      fill_row(m, at, m->nrows++);
    for (uint32_t c = v->child; c != NONE; c = m->v[c].sibling) {
      m->v[c].fail = at == ROOT ? ROOT : step(m, v->fail, m->v[c].byte);
      queue[tail++] = c;
    }
  }
  free(queue);
}

size_t mask_longest(const struct mask *m)
{
  return m->longest;
}

/* --- streams --- */

void mask_stream_init(struct mask_stream *s, const struct mask *m)
{
  *s = (struct mask_stream){ .at = ROOT };
  s->bytes = xcalloc(1, m->longest + MASK_SLICE);
  s->hit = xcalloc(1, m->longest + MASK_SLICE);
}

void mask_stream_free(struct mask_stream *s)
{
  if (s->bytes)
    mem_wipe(s->bytes, s->held);
  free(s->bytes);
  free(s->hit);
  *s = (struct mask_stream){ .at = ROOT };
}

/* Adds the first n of what is there to out, each run of masked bytes as one MASK_TEXT. */
static void emit(struct mask_stream *s, size_t n, struct buf *out)
{
  size_t i = 0;

  while (i < n) {
    const unsigned char *hit = memchr(s->hit + i, !s->hit[i], n - i);
    size_t end = hit ? (size_t)(hit - s->hit) : n;
    if (!s->hit[i])
      buf_add(out, s->bytes + i, end - i);
    else if (!s->masked)
      buf_adds(out, MASK_TEXT);
    s->masked = s->hit[i];
    i = end;
  }
}

/* The first n are done with; total: of what is there. */
static void drop(struct mask_stream *s, size_t n, size_t total)
{
  memmove(s->bytes, s->bytes + n, total - n);
  memmove(s->hit, s->hit + n, total - n);
  mem_wipe(s->bytes + (total - n), n);
  s->held = total - n;
}

/* Marks what forms cover among bytes [from, total). The last run that was marked is kept in mind, so that a form full of itself is not marked again at each byte. */
static void look(const struct mask *m, struct mask_stream *s, size_t from, size_t total)
{
  const unsigned char *p = (const unsigned char *)s->bytes;
  const uint32_t *root = m->rows;
  size_t a = 0, b = 0; /* the run */
  uint32_t at = s->at;

  for (size_t i = from; i < total; i++) {
    size_t found, start;
    if (at == ROOT)
      while (root[p[i]] == ROOT && ++i < total)
        continue;
    if (i == total)
      break;
    at = step(m, at, p[i]);
    found = m->v[at].found;
    if (!found)
      continue;
    start = i + 1 > found ? i + 1 - found : 0; /* what was flushed is gone */
    if (start > b || b == 0) {
      memset(s->hit + start, 1, i + 1 - start);
      a = start;
    } else {
      if (start < a)
        memset(s->hit + start, 1, a - start), a = start;
      memset(s->hit + b, 1, i + 1 - b);
    }
    b = i + 1;
  }
  s->at = at;
}

static void feed(const struct mask *m, struct mask_stream *s, const char *p, size_t n, struct buf *out)
{
  size_t total = s->held + n, hold, sure;

  memcpy(s->bytes + s->held, p, n);
  memset(s->hit + s->held, 0, n);
  look(m, s, s->held, total);
  hold = m->v[s->at].hold;
  sure = hold < total ? total - hold : 0;
  while (sure < total && s->hit[sure]) /* masked already, whatever comes */
    sure++;
  emit(s, sure, out);
  drop(s, sure, total);
}

void mask_feed(const struct mask *m, struct mask_stream *s, const char *p, size_t n, struct buf *out)
{
  for (size_t part; n; p += part, n -= part) {
    part = n < MASK_SLICE ? n : MASK_SLICE;
    feed(m, s, p, part, out);
  }
}

void mask_flush(struct mask_stream *s, struct buf *out)
{
  emit(s, s->held, out);
  drop(s, s->held, s->held);
}
