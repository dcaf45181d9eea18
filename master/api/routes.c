/* The method table. */
#include "master/api/routes.h"

#include <assert.h>
#include <string.h>

#include "common/str.h"
#include "master/api/handlers.h"

static const struct route routes[] = {
#define R(method, path, permission, handler, query, text) { #method, path, PERM_##permission, handler, 0, query },
#define A(method, path, permission, action, text) { #method, path, PERM_##permission, act_call, action, "" },
#include "master/api/routes.def"
#undef R
#undef A
};

void routes_check(void)
{
  for (size_t i = 0; i < COUNT(routes); i++) {
    const struct route *r = &routes[i];
    assert(r->permission != PERM_NONE && r->handle && r->path[0] == '/');
    assert((r->permission == PERM_READ) == !strcmp(r->method, "GET"));
    assert((r->handle == act_call) == (r->permission != PERM_READ && r->permission != PERM_HOOK));
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
  return !*at;
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
