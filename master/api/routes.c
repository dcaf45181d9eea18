/* The method table. */
#include "master/api/routes.h"

#include <assert.h>
#include <string.h>

#include "common/str.h"
#include "master/api/handlers.h"

static const struct route routes[] = {
#define R(method, path, permission, handler, query, text) { #method, path, PERM_##permission, handler, 0, query },
#define A(method, path, permission, action, text) { #method, path, PERM_##permission, act_call, action, "" },
#define P(path, text) { "GET", path, PERM_READ, web_page, 0, "" },
#include "master/api/routes.def"
#undef R
#undef A
#undef P
};

/* A page that is not there is a page that says so. */
static const struct route unknown_page = { "GET", "/", PERM_READ, web_page, 0, "" };

void routes_check(void)
{
  for (size_t i = 0; i < COUNT(routes); i++) {
    const struct route *r = &routes[i];
    assert(r->permission != PERM_NONE && r->handle && r->path[0] == '/');
    assert(r->permission != PERM_READ || !strcmp(r->method, "GET")); /* what only the unix socket is told may be a GET too */
    assert((r->handle == act_call) == (strcmp(r->method, "GET") && r->permission != PERM_HOOK));
    assert((r->handle == hook_post) == (r->permission == PERM_HOOK));
  }
}

/* Does the path have the shape of the pattern? {names} take one segment each. */
static bool match(const char *pattern, const struct path *p, const char *args[ROUTE_ARGS_MAX], int *nargs)
{
  const char *at = pattern + 1;

  *nargs = 0;
  for (int i = 0; i < p->nseg; i++) {
    size_t n = strcspn(at, "/");
    if (!n)
      return false;
    if (*at == '{') {
      assert(*nargs < ROUTE_ARGS_MAX);
      args[(*nargs)++] = p->seg[i];
    } else if (strlen(p->seg[i]) != n || memcmp(p->seg[i], at, n)) {
      return false;
    }
    at += n;
    if (*at == '/')
      at++;
  }
  return !*at && (!p->slash || at[-1] == '/'); /* "/download/" is there without its last slash too, others not with one */
}

const struct route *route_find(const char *method, const struct path *p, const char *args[ROUTE_ARGS_MAX], int *nargs, struct buf *allow)
{
  if (!strcmp(method, "HEAD"))
    method = "GET";
  for (size_t i = 0; i < COUNT(routes); i++) {
    if (!match(routes[i].path, p, args, nargs))
      continue;
    if (!strcmp(routes[i].method, method))
      return &routes[i];
    buf_addf(allow, "%s%s", allow->len ? ", " : "", strcmp(routes[i].method, "GET") ? routes[i].method : "GET, HEAD");
  }
  return NULL;
}

bool route_may_be_page(const char *method, const struct path *p)
{
  static const char *const others[] = { "api", "assets", "download" };

  if (strcmp(method, "GET") && strcmp(method, "HEAD"))
    return false;
  for (size_t i = 0; i < COUNT(others); i++)
    if (p->nseg && !strcmp(p->seg[0], others[i]))
      return false;
  return true;
}

const struct route *route_unknown_page(void)
{
  return &unknown_page;
}
