/* Between the files that make a configuration: conf.c, and the repositories of its projects, conf_codebase.c. */
#ifndef MASTER_CONF_CONF_INT_H
#define MASTER_CONF_CONF_INT_H
#include "master/conf/conf.h"
#include "master/conf/yaml.h"

/* What counts while projects are read. */
struct conf_reading {
  struct diags *d;
  bool allow_local;
  bool reads; /* the files that hold secrets of hooks, keys, tokens */
};

/* The texts of a list, or of one scalar; n may be NULL. */
char **conf_strings(const struct yml_node *n, int *count) must_check;

/* key: the project's, for messages about what it lacks. */
void conf_codebases_read(struct conf_project *p, const struct yml_node *key, const struct yml_node *map, const struct conf_reading *r);
void conf_codebases_free(struct conf_project *p);
bool conf_codebases_same_secrets(const struct conf_project *a, const struct conf_project *b) must_check;
#endif
