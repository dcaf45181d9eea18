/* The target of a request, taken apart once and strictly: every segment is decoded exactly once, anything that two parsers could read differently is refused. Pure. */
#ifndef MASTER_API_PATH_H
#define MASTER_API_PATH_H
#include <stdbool.h>

#include "common/err.h"
#include "common/mem.h"

#define PATH_TARGET_MAX 8192  /* bytes of path and query as sent */
#define PATH_SEGMENTS_MAX 12
#define PATH_QUERY_MAX 16     /* keys in the query */

struct path {
  char *memory; /* what the pointers below point into */
  int nseg;     /* "/" has none */
  char *seg[PATH_SEGMENTS_MAX];
  bool slash;   /* one more slash at the end: the name of a folder, which is another path */
  int nquery;
  struct {
    char *key, *value;
  } query[PATH_QUERY_MAX];
};

/* target: as in the request line. prefix: the path that the page is reached by ("/ci", no slash at its end; "" or NULL: none): taken off where it is there, so that a proxy may
   pass it on or strip it. ERR_BADARG: refused, *why says what is wrong (static text). path_free in either case. */
enum err path_parse(struct path *p, const char *target, const char *prefix, const char **why) must_check;
void path_free(struct path *p);
const char *path_query(const struct path *p, const char *key); /* NULL: not given */
#endif
