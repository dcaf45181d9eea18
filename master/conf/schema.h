/* One table of all configuration keys: the check of a tree, its messages, defaults, the reference and completion come from it. */
#ifndef MASTER_CONF_SCHEMA_H
#define MASTER_CONF_SCHEMA_H
#include <stdbool.h>
#include <stdint.h>

#include "master/conf/yaml.h"

#define SCHEMA_ENV_VALUE_MAX (32u << 10) /* bytes of one value */
#define SCHEMA_SCRIPT_MAX (120u << 10)   /* bytes of a script or argument: Linux takes 128 KiB for one argument */

/* Places where keys stand: a map of one kind. */
enum schema_group {
  SCHEMA_SITE,     /* master.yaml */
  SCHEMA_CONFD,    /* a file of conf.d */
  SCHEMA_PIPELINE, /* .drover.yml */
  SCHEMA_NODES,    /* nodes.yml, what a build reports (pipeline.h) */
  SCHEMA_INCLUDE, SCHEMA_SITE_INFO, SCHEMA_LISTEN, SCHEMA_DATABASE, SCHEMA_WORKER, SCHEMA_POOL, SCHEMA_PROJECT, SCHEMA_CODEBASE, SCHEMA_STAMPS, SCHEMA_HOOK, SCHEMA_HOOK_SECRET, SCHEMA_KEY, SCHEMA_TOKEN, SCHEMA_PASSWORD, SCHEMA_SECRET, SCHEMA_SECRET_FOR, SCHEMA_LOCK,
  SCHEMA_DEFAULTS, SCHEMA_BUILDER,
  SCHEMA_WANT, SCHEMA_TIMEOUT, SCHEMA_OUTPUT, SCHEMA_STEP, SCHEMA_RETRY, SCHEMA_ON_LOST, SCHEMA_WARNINGS, SCHEMA_CHECKOUT, SCHEMA_TRIGGER, SCHEMA_TEMPLATE, SCHEMA_PARAMETER, SCHEMA_SCHEDULER, SCHEMA_CHANGE, SCHEMA_PULL_REQUEST,
  SCHEMA_FORCE, SCHEMA_TRIGGERED, SCHEMA_FORCE_PARAMETER, SCHEMA_GROUPS
};

/* The whole document against one of the first four groups; every fault into d. */
void schema_check(const struct yml_doc *doc, enum schema_group root, struct diags *d);

/* What somebody wrote, for messages: `"text"`, "a map", "nothing"; never long. The caller frees it. */
char *schema_shown(const struct yml_node *n) must_check;
/* Whether text can be a value of the key, one that takes a scalar or a list of them; else told at n, from which the text was made. */
bool schema_check_made(const struct yml_node *n, const char *text, enum schema_group group, const char *key, struct diags *d);
/* Where an expression may stand instead of a number: whether it is one as it stands. */
bool schema_is_number(const char *text) must_check;
bool schema_has(enum schema_group group, const char *key);
/* Whether a map is one of options of that group, not of names with options each. */
bool schema_is_options(const struct yml_node *map, enum schema_group group) must_check;

/* Values, for after the check: where the key is missing, or its value is wrong (the check has told), the table's default (0, false or NULL where it has none).
   The key must be one of the group's. map may be NULL or not a map. */
const char *schema_text(const struct yml_node *map, enum schema_group group, const char *key);
int64_t schema_ms(const struct yml_node *map, enum schema_group group, const char *key);
bool schema_is_path(const char *s); /* relative, without .. */
#define SCHEMA_PTY_SIDE_MAX 9999
bool schema_pty(const char *s, int *cols, int *rows); /* COLSxROWS, each 1 to SCHEMA_PTY_SIDE_MAX */
int64_t schema_size(const struct yml_node *map, enum schema_group group, const char *key); /* bytes */
int64_t schema_int(const struct yml_node *map, enum schema_group group, const char *key);
bool schema_bool(const struct yml_node *map, enum schema_group group, const char *key);

/* One key, as the reference and completion see it. */
struct schema_view {
  const char *path;    /* of the map it stands in: "", "projects.NAME", "builders.NAME" */
  const char *key;
  const char *doc, *example, *fallback; /* one sentence each; example and fallback (default) may be NULL */
  const char *words;   /* fixed words it takes, separated by blanks, or NULL: "none git" */
  bool required, site, repository; /* site, repository: where it may stand */
  bool restart;        /* a running master can't change it: a reload that would is refused */
  enum schema_group group;
};
/* Walk: *at = 0 at first; false at the end. */
bool schema_keys(size_t *at, struct schema_view *v);
/* The type of the key in words: "a duration from 100ms to 30d". The caller frees it. */
char *schema_view_wants(const struct schema_view *v) must_check;
/* The table as JSON Schema 2020-12, for editors: of the site's file, or of a pipeline's (root: SCHEMA_SITE, SCHEMA_PIPELINE). It accepts what the check accepts, but for references between
   builders, templates and axes, which no schema can say. The same table gives the same text. The caller frees it. */
char *schema_json(enum schema_group root) must_check;
/* The reference of all keys, markdown: docs/config.md. */
void schema_reference(struct buf *out);
#endif
