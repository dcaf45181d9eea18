/* Ids that say their kind, and paths of the API made of them. */
#include "master/cli/ids.h"

#include <stdarg.h>
#include <string.h>

#include "common/str.h"

#define ID_PARTS 3 /* project, builder, number */

static bool is_digits(const char *s)
{
  return *s && strspn(s, "0123456789") == strlen(s) && strlen(s) < 20;
}

static bool is_number(const char *s)
{
  return is_digits(s) || !strcmp(s, "last");
}

/* s = part *2("/" part); false where a part is empty or there are too many. */
static bool split(const char *s, char part[ID_PARTS][ID_PART_MAX], int *n)
{
  for (*n = 0;; s++) {
    size_t len = strcspn(s, "/");
    if (!len || *n == ID_PARTS)
      return false;
    memcpy(part[*n], s, len);
    part[(*n)++][len] = 0;
    s += len;
    if (!*s)
      return true;
  }
}

static bool parse_letter(const char *s, struct cli_id *id)
{
  static const struct { char letter; enum id_kind kind; } kinds[] = { { 'r', ID_REQUEST }, { 's', ID_BUILDSET }, { 'c', ID_CHANGE } };

  for (size_t i = 0; i < COUNT(kinds); i++)
    if (s[0] == kinds[i].letter && is_digits(s + 1)) {
      id->kind = kinds[i].kind;
      return true;
    }
  return false;
}

bool id_parse(const char *s, struct cli_id *id)
{
  char part[ID_PARTS][ID_PART_MAX];
  const char *slash = strchr(s, '/'), *colon = slash ? strchr(slash, ':') : NULL;
  size_t len = colon ? (size_t)(colon - s) : strlen(s);
  int n;

  memset(id, 0, sizeof *id);
  if (strlen(s) >= ID_PART_MAX)
    return false;
  memcpy(id->text, s, len);
  if (parse_letter(s, id))
    return true;
  if (!split(id->text, part, &n) || (colon && !colon[1]))
    return false;
  id->kind = ID_NAME;
  if (n == 1)
    return true;
  if (n == 2 && !is_number(part[1])) {
    id->kind = ID_BUILDER;
    strcpy(id->project, part[0]);
    strcpy(id->builder, part[1]);
    return !colon;
  }
  if (!is_number(part[n - 1]))
    return false;
  id->kind = colon ? ID_STEP : ID_BUILD;
  strcpy(id->number, part[n - 1]);
  strcpy(id->builder, part[n - 2]);
  if (n == 3)
    strcpy(id->project, part[0]);
  if (colon)
    strcpy(id->step, colon + 1);
  return true;
}

static void encode(struct buf *out, const char *s, const char *keep)
{
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(keep, c))
      buf_addc(out, *s);
    else
      buf_addf(out, "%%%02X", c);
  }
}

void id_encode(struct buf *out, const char *s)
{
  encode(out, s, "-._~");
}

char *id_path(const char *format, ...)
{
  struct buf out;
  va_list ap;

  buf_init(&out, BUF_NO_MAX);
  buf_adds(&out, "/api/v1/");
  va_start(ap, format);
  for (; *format; format++) {
    if (*format != '%')
      buf_addc(&out, *format);
    else if (*++format == 's')
      id_encode(&out, va_arg(ap, const char *));
    else
      encode(&out, va_arg(ap, const char *), "-._~/");
  }
  va_end(ap);
  return buf_take(&out);
}
