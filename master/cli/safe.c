/* Bytes made harmless for a terminal. */
#include "master/cli/safe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ESC 0x1b

void safe_init(struct safe *s, bool sgr)
{
  memset(s, 0, sizeof *s);
  s->sgr = sgr;
}

/* As `cat -v` shows a byte. */
static void add_visible(unsigned char c, struct buf *out)
{
  if (c >= 0x80) {
    buf_adds(out, "M-");
    c &= 0x7f;
  }
  if (c < 0x20 || c == 0x7f)
    buf_addf(out, "^%c", c ^ 0x40);
  else
    buf_addc(out, (char)c);
}

static void add_held_visible(struct safe *s, struct buf *out)
{
  for (size_t i = 0; i < s->nheld; i++)
    add_visible(s->held[i], out);
  s->nheld = s->want = 0;
}

static bool is_plain(const struct safe *s, unsigned char c)
{
  return (c >= 0x20 && c < 0x7f) || (!s->line && (c == '\n' || c == '\t'));
}

/* Which single parameters may pass: no conceal (8), no fonts, nothing that is not known to be about looks. */
static bool sgr_known(int v)
{
  return (v >= 0 && v <= 4) || v == 7 || v == 9 || (v >= 21 && v <= 25) || v == 27 || v == 29 ||
         (v >= 30 && v <= 37) || v == 39 || (v >= 40 && v <= 47) || v == 49 || (v >= 90 && v <= 97) || (v >= 100 && v <= 107);
}

#define SGR_PARAMS_MAX 16

/* held is "ESC [ digits and semicolons m". Sets *reset where nothing stays set after it. */
static bool sgr_allowed(const struct safe *s, bool *reset)
{
  int v[SGR_PARAMS_MAX] = { 0 }, n = 0;

  for (size_t i = 2; i + 1 < s->nheld; i++) {
    if (s->held[i] == ';') {
      if (++n == SGR_PARAMS_MAX)
        return false;
    } else if ((v[n] = v[n] * 10 + (s->held[i] - '0')) > 255) {
      return false;
    }
  }
  n++;
  *reset = v[n - 1] == 0;
  for (int i = 0; i < n; i++) {
    if (v[i] == 38 || v[i] == 48) { /* 38;5;N or 38;2;R;G;B */
      int more = i + 1 < n && v[i + 1] == 5 ? 2 : i + 1 < n && v[i + 1] == 2 ? 4 : 0;
      if (!more || i + more >= n)
        return false;
      i += more;
      *reset = false;
    } else if (!sgr_known(v[i])) {
      return false;
    }
  }
  return true;
}

/* held begins with ESC; c is the next byte. False: c is not part of it, treat it as new. */
static bool take_escape(struct safe *s, unsigned char c, struct buf *out)
{
  bool reset, inside = s->nheld == 1 ? c == '[' : (c >= '0' && c <= '9') || c == ';';

  if (inside && s->nheld + 2 <= sizeof s->held) { /* room for the m */
    s->held[s->nheld++] = c;
    return true;
  }
  if (s->nheld >= 2 && c == 'm') {
    s->held[s->nheld++] = c;
    if (sgr_allowed(s, &reset)) {
      buf_add(out, s->held, s->nheld);
      s->coloured = !reset;
      s->nheld = 0;
    } else {
      add_held_visible(s, out);
    }
    return true;
  }
  add_held_visible(s, out);
  return false;
}

static bool turns_direction(uint32_t cp)
{
  return cp == 0x061c || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

static void add_character(struct safe *s, struct buf *out)
{
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  uint32_t cp = s->held[0] & (0xffu >> (s->want + 1));

  for (size_t i = 1; i < s->want; i++)
    cp = cp << 6 | (s->held[i] & 0x3f);
  if (cp < least[s->want] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
    add_held_visible(s, out);
  else if (cp < 0xa0)
    add_visible((unsigned char)cp, out);
  else if (turns_direction(cp))
    buf_addf(out, "<U+%04X>", (unsigned)cp);
  else
    buf_add(out, s->held, s->nheld);
  s->nheld = s->want = 0;
}

static void take_byte(struct safe *s, unsigned char c, struct buf *out)
{
  if (s->nheld && !s->want && take_escape(s, c, out))
    return;
  if (s->nheld && s->want) {
    if ((c & 0xc0) == 0x80) {
      s->held[s->nheld++] = c;
      if (s->nheld == s->want)
        add_character(s, out);
      return;
    }
    add_held_visible(s, out);
  }
  if (is_plain(s, c)) {
    buf_addc(out, (char)c);
  } else if (c == ESC && s->sgr) {
    s->held[s->nheld++] = c;
  } else if (c >= 0xc2 && c <= 0xf4) {
    s->held[s->nheld++] = c;
    s->want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
  } else {
    add_visible(c, out);
  }
}

void safe_add(struct safe *s, const void *p, size_t n, struct buf *out)
{
  const unsigned char *at = p, *end = at + n;

  while (at < end) {
    const unsigned char *run = at;
    if (!s->nheld)
      while (run < end && is_plain(s, *run))
        run++;
    if (run > at)
      buf_add(out, at, (size_t)(run - at));
    else
      take_byte(s, *run++, out);
    at = run;
  }
}

void safe_end(struct safe *s, struct buf *out)
{
  add_held_visible(s, out);
  if (s->coloured)
    buf_adds(out, "\033[0m");
  s->coloured = false;
}

char *safe_line(const char *text)
{
  struct safe s;
  struct buf out;

  safe_init(&s, false);
  s.line = true;
  buf_init(&out, BUF_NO_MAX);
  safe_add(&s, text, strlen(text), &out);
  safe_end(&s, &out);
  return buf_take(&out);
}
