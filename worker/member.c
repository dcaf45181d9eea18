/* The file is replaced as a whole, like ident. */
#include "worker/member.h"

#include <stdio.h>
#include <string.h>

#include "common/scan.h"
#include "common/str.h"
#include "worker/small.h"

#define NAME "member"
#define NAME_NEW "member.tmp"
#define NO_NAME "-"

enum { TEXT_MAX = 512 };
_Static_assert(MEMBER_NAME_MAX == 64 && TOKEN_SECRET_LEN == 43, "the widths in take()");

static enum err save(const struct member *m)
{
  char text[TEXT_MAX];
  int n = snprintf(text, sizeof text, "drover-worker 1\npool %s\nname %s\nkey %s\n", m->pool, *m->name ? m->name : NO_NAME, m->key);
  enum err e = small_replace(m->dir, NAME, NAME_NEW, text, (size_t)n);

  mem_wipe(text, sizeof text);
  return e;
}

/* ERR_NOTFOUND: there is none, or it is of another pool. */
static enum err take(struct member *m)
{
  char text[TEXT_MAX], pool[MEMBER_NAME_MAX + 1];
  enum err e = small_read(m->dir, NAME, text, sizeof text);
  int version, found;

  if (e)
    return e;
  found = scan(text, "drover-worker %d\npool %64s\nname %64s\nkey %43s\n", &version, pool, m->name, m->key);
  mem_wipe(text, sizeof text);
  if (found != 4 || version != 1 || strlen(m->key) != TOKEN_SECRET_LEN)
    return ERR_CORRUPT;
  if (!strcmp(m->name, NO_NAME))
    *m->name = 0;
  else if (!str_is_name(m->name, strlen(m->name)))
    return ERR_CORRUPT;
  return strcmp(pool, m->pool) ? ERR_NOTFOUND : ERR_OK;
}

enum err member_load(struct member *m, int dir, const struct token *t, const char **why)
{
  enum err e;

  *m = (struct member){ .dir = dir, .pool = t->pool ? t->name : NULL };
  if (!m->pool)
    return ERR_OK;
  *why = "member can't be read (without it the worker joins its pool anew: remove it)";
  e = take(m);
  if (e != ERR_NOTFOUND)
    return e;
  *why = "member can't be written";
  return member_forgotten(m);
}

enum err member_named(struct member *m, const char *name)
{
  enum err e;

  snprintf(m->name, sizeof m->name, "%s", name);
  e = save(m);
  if (e)
    *m->name = 0;
  return e;
}

enum err member_forgotten(struct member *m)
{
  *m->name = 0;
  token_secret(m->key);
  return save(m);
}
