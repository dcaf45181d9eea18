/* The method table (routes.def): which request goes to which handler, and who may. */
#ifndef MASTER_API_ROUTES_H
#define MASTER_API_ROUTES_H
#include <stdbool.h>

#include "common/buf.h"
#include "master/api/path.h"
#include "master/dispatch/actions.h"

#define ROUTE_ARGS_MAX 4

enum permission { PERM_NONE, PERM_READ, PERM_BUILD, PERM_CHANGE, PERM_ADMIN, PERM_HOOK };

struct call;
struct route {
  const char *method, *path;
  enum permission permission;
  void (*handle)(struct call *c);
  enum action action;   /* where handle is act_call */
  const char *query;    /* keys it takes, by one blank */
};

/* Ends the process where a route has no permission, or an action would be allowed to readers: our own bug. At start. */
void routes_check(void);
/* HEAD counts as GET. args: what stands for the {names} of the path. NULL: allow holds the methods that this path has, none where there is no such path. */
const struct route *route_find(const char *method, const struct path *p, const char *args[ROUTE_ARGS_MAX], int *nargs, struct buf *allow);
/* Is the path none of the API's, of files or downloads, so that a browser gets a page that says what is wrong? */
bool route_may_be_page(const char *method, const struct path *p);
const struct route *route_unknown_page(void);
#endif
