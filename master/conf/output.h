/* The key `output`: how much of what a command writes is kept. The site's is the most that counts, a pipeline's may only be less. */
#ifndef MASTER_CONF_OUTPUT_H
#define MASTER_CONF_OUTPUT_H
#include <stdint.h>

#include "master/conf/schema.h"

struct output_limit {
  int64_t bytes, lines; /* 0: nothing is said */
};

/* What `output` of that map says over what o has. */
void output_read(struct output_limit *o, const struct yml_node *map, enum schema_group group);
/* Of each the lower one; what nobody says stays unsaid. */
struct output_limit output_lower(struct output_limit a, struct output_limit b) must_check;
#endif
