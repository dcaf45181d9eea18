/* Arbitrary bytes into the reader, whole and in pieces: the same messages come out, and each of them is written back as it was read. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/wire.h"

/* What was read, written again. Getters may find tokens of another kind, nothing worse. */
static void write_back(struct buf *out, struct wire_msg *m)
{
  char kinds[WIRE_TOKENS_MAX + 1] = "ssssssssssssssss";
  const char **t = m->tok;

  for (int i = 0; i < m->ntok; i++) {
    (void)wire_num(m, i);
    (void)wire_id(m, i);
    (void)wire_crc(m, i);
    must(wire_is_token(wire_str(m, i), strlen(wire_str(m, i))));
  }
  must(m->ntok == wire_verbs[m->verb].tokens);
  kinds[m->ntok] = 0;
  if (m->blob) {
    must((int64_t)m->blob_len <= wire_verbs[m->verb].blob_max);
    wire_put_blob(out, m->verb, m->blob, m->blob_len, kinds, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10],
                  t[11], t[12], t[13], t[14], t[15]);
  } else {
    wire_put(out, m->verb, kinds, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13], t[14],
             t[15]);
  }
  must(!out->failed);
}

/* Every message as it is written, unknown verbs by name, the end by its code. piece 0: pieces of changing size. */
static void run(struct buf *out, enum wire_from from, bool trusted, const uint8_t *p, size_t n, size_t piece)
{
  struct wire_reader *r = wire_reader_new(from);
  enum err e = ERR_AGAIN;
  struct wire_msg m;
  size_t at = 0, turn = 0;

  if (trusted)
    wire_reader_trust(r);
  while (at < n && e == ERR_AGAIN) {
    size_t k = piece ? piece : 1 + turn++ * 7 % 61;
    char *copy;
    k = k < n - at ? k : n - at;
    copy = xmemdup(p + at, k); /* what was fed is the caller's again */
    wire_feed(r, copy, k);
    free(copy);
    at += k;
    while ((e = wire_next(r, &m)) == ERR_OK || e == ERR_UNKNOWN) {
      if (e == ERR_OK)
        write_back(out, &m);
      else
        buf_addf(out, "?%s\n", wire_reader_word(r));
    }
    must(wire_reader_held(r) < 4 * n + 16384);
  }
  buf_addf(out, "%d\n", (int)e);
  wire_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  struct buf whole, parts;
  enum wire_from from;
  bool trusted;

  if (n < 1)
    return 0;
  from = *p & 1 ? WIRE_WORKER : WIRE_MASTER;
  trusted = *p & 2;
  buf_init(&whole, BUF_NO_MAX);
  buf_init(&parts, BUF_NO_MAX);
  run(&whole, from, trusted, p + 1, n - 1, n);
  for (size_t piece = 0; piece < 2; piece++) {
    buf_reset(&parts);
    run(&parts, from, trusted, p + 1, n - 1, piece);
    must(parts.len == whole.len && !memcmp(parts.data, whole.data, whole.len));
  }
  buf_free(&whole);
  buf_free(&parts);
  return 0;
}
