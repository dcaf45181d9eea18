/* Limits of output. */
#include "master/conf/output.h"

void output_read(struct output_limit *o, const struct yml_node *map, enum schema_group group)
{
  const struct yml_node *n = yml_get(map, "output");

  if (n && n->kind == YML_SCALAR && !yml_is_null(n))
    o->bytes = schema_size(map, group, "output");
  if (yml_get(n, "bytes"))
    o->bytes = schema_size(n, SCHEMA_OUTPUT, "bytes");
  if (yml_get(n, "lines"))
    o->lines = schema_int(n, SCHEMA_OUTPUT, "lines");
}

static int64_t lower(int64_t a, int64_t b)
{
  return !a || (b && b < a) ? b : a;
}

struct output_limit output_lower(struct output_limit a, struct output_limit b)
{
  return (struct output_limit){ lower(a.bytes, b.bytes), lower(a.lines, b.lines) };
}
