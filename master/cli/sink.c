/* Where a log's bytes go. */
#include "master/cli/sink.h"

#include <string.h>

#include "master/cli/cli.h"

#define REPLACEMENT "\357\277\275" /* U+FFFD */

void sink_begin(struct sink *s, struct cli *c, enum sink_kind kind, const char *build, const char *step)
{
  s->c = c;
  s->kind = kind;
  s->build = build;
  s->step = step;
  s->at = 0;
  safe_init(&s->safe, c->color);
  buf_init(&s->b, BUF_NO_MAX);
}

/* Bytes of the UTF-8 character at p: 0 where it is none, -1 where it may become one with more bytes. */
static int utf8_length(const unsigned char *p, size_t n)
{
  int want = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

  for (int i = 1; i < want; i++) {
    if ((size_t)i >= n)
      return -1;
    if ((p[i] & 0xc0) != 0x80)
      return 0;
  }
  if ((want == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) ||
      (want == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))))
    return 0;
  return want;
}

/* Adds p as the inside of a JSON string, all control characters escaped; what is not UTF-8 becomes U+FFFD. Returns how much was
   used; final: all of it. */
static size_t add_json(struct buf *out, const unsigned char *p, size_t n, bool final)
{
  size_t i = 0;

  while (i < n) {
    int len = utf8_length(p + i, n - i);
    if (len < 0 && !final)
      return i;
    if (len <= 0) {
      buf_adds(out, REPLACEMENT);
      len = 1;
    } else if (p[i] == '"' || p[i] == '\\') {
      buf_addf(out, "\\%c", p[i]);
    } else if (p[i] < 0x20 || p[i] == 0x7f || (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)) {
      buf_addf(out, "\\u%04x", len == 2 ? p[i + 1] : p[i]);
    } else {
      buf_add(out, p + i, (size_t)len);
    }
    i += (size_t)len;
  }
  return n;
}

static void add_json_name(struct buf *out, const char *s)
{
  buf_addc(out, '"');
  (void)add_json(out, (const unsigned char *)s, strlen(s), true);
  buf_addc(out, '"');
}

static void print_json(struct sink *s, bool final)
{
  struct buf line;
  int64_t from = s->at - (int64_t)s->b.len;
  size_t used;

  if (!s->b.len)
    return;
  buf_init(&line, BUF_NO_MAX);
  buf_adds(&line, "{\"log\":{\"build\":");
  add_json_name(&line, s->build);
  buf_adds(&line, ",\"step\":");
  add_json_name(&line, s->step);
  buf_addf(&line, ",\"from\":%lld,\"text\":\"", (long long)from);
  used = add_json(&line, (const unsigned char *)buf_str(&s->b), s->b.len, final);
  buf_adds(&line, "\"}}\n");
  if (used)
    out_bytes(s->c, buf_str(&line), line.len);
  buf_drop(&s->b, used);
  buf_free(&line);
}

void sink_add(struct sink *s, const void *p, size_t n)
{
  s->at += (int64_t)n;
  switch (s->kind) {
  case SINK_RAW:
    out_bytes(s->c, p, n);
    break;
  case SINK_JSON:
    buf_add(&s->b, p, n);
    print_json(s, false);
    break;
  case SINK_SAFE:
    buf_reset(&s->b);
    safe_add(&s->safe, p, n, &s->b);
    out_bytes(s->c, buf_str(&s->b), s->b.len);
    break;
  }
}

void sink_end(struct sink *s)
{
  if (s->kind == SINK_JSON) {
    print_json(s, true);
  } else if (s->kind == SINK_SAFE) {
    buf_reset(&s->b);
    safe_end(&s->safe, &s->b);
    out_bytes(s->c, buf_str(&s->b), s->b.len);
    out_fresh_line(s->c);
  }
  out_flush(s->c);
  buf_free(&s->b);
}
