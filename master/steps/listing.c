/* Five records an entry, in one order. */
#include "master/steps/listing.h"

#include <string.h>

#include "common/str.h"
#include "proto/records.h"

enum { NAME_MAX_BYTES = 255, MODE_DIGITS = 4 };

static const char *const types[] = { [LISTING_FILE] = "file", [LISTING_DIR] = "dir", [LISTING_LINK] = "link", [LISTING_OTHER] = "other" };

/* The next record's value; NULL: it has another key, or there is none. */
static const char *value_of(const char *p, size_t n, size_t *at, const char *want)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;

  return !records_next(p, n, at, key, &value) && !strcmp(key, want) ? value : NULL;
}

static bool is_entry_name(const char *s)
{
  return *s && strlen(s) <= NAME_MAX_BYTES && !strchr(s, '/') && strcmp(s, ".") && strcmp(s, "..");
}

static bool mode_of(const char *s, unsigned *mode)
{
  *mode = 0;
  if (!*s || strlen(s) > MODE_DIGITS || strspn(s, "01234567") != strlen(s))
    return false;
  for (; *s; s++)
    *mode = *mode * 8 + (unsigned)(*s - '0');
  return true;
}

enum err listing_next(const char *p, size_t n, size_t *at, struct listing_entry *e)
{
  const char *type, *size, *mode, *mtime;

  if (*at >= n)
    return ERR_NOTFOUND;
  if (!(e->name = value_of(p, n, at, "name")) || !(type = value_of(p, n, at, "type")) || !(size = value_of(p, n, at, "size")) ||
      !(mode = value_of(p, n, at, "mode")) || !(mtime = value_of(p, n, at, "mtime")))
    return ERR_SYNTAX;
  if (!is_entry_name(e->name) || !mode_of(mode, &e->mode) || str_number(size, strlen(size), &e->size) || str_number(mtime, strlen(mtime), &e->mtime))
    return ERR_SYNTAX;
  for (size_t i = 0; i < COUNT(types); i++)
    if (!strcmp(types[i], type)) {
      e->type = (enum listing_type)i;
      return ERR_OK;
    }
  return ERR_SYNTAX;
}
