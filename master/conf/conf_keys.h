/* The settings of a configuration as texts, by name: what two configurations are compared by. From the schema's table, so that a new key is compared without more ado. */
#ifndef MASTER_CONF_CONF_KEYS_H
#define MASTER_CONF_CONF_KEYS_H
#include "master/conf/schema.h"

struct conf_key {
  char *name;        /* "poll"; of the site with its path: "listen.api" */
  char *text;        /* its value, the default where it isn't given; a list or map as YAML text */
  int line, column;  /* in the file; 0: not given */
  bool restart;      /* a running master can't change it */
};
/* In the order of the table; keys without a value and without a default are left out. */
struct conf_keys {
  struct conf_key *v;
  int n;
};

/* Of the site: the keys of master.yaml and of the maps in it, but for the named things (workers, projects). top: the file's map. */
void conf_keys_site(struct conf_keys *k, const struct yml_node *top);
/* Of one thing, a map of that group; keys of a pipeline are left out. */
void conf_keys_of(struct conf_keys *k, const struct yml_node *map, enum schema_group group);
void conf_keys_free(struct conf_keys *k);
/* Walk over the keys whose values differ, *at 0 at first; NULL: no more. *now (may be NULL): the key in b, NULL where it isn't there. */
const struct conf_key *conf_keys_next(const struct conf_keys *a, const struct conf_keys *b, int *at, const struct conf_key **now);
#endif
