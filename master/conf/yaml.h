/* A YAML text as a tree with line and column on every node, made from libyaml's events. Immutable once made.

   The subset: one document of maps, lists and scalars, keys are scalars and unique, anchors, aliases and `<<`; no tags. A scalar keeps
   its text and whether it was plain; what it means (`no`, `1.10`, `010`) is for whoever knows what is wanted there (schema.h).
   The prefix is yml_, for yaml_ is libyaml's. */
#ifndef MASTER_CONF_YAML_H
#define MASTER_CONF_YAML_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "master/conf/diag.h"

#define YML_TEXT_MAX (1u << 20) /* bytes of a text */
#define YML_NODES_MAX 100000    /* nodes of a tree, each alias counted as all it stands for */
#define YML_BYTES_MAX (16u << 20) /* bytes of its scalars, likewise */
#define YML_DEPTH_MAX 64        /* maps and lists inside each other, aliases too */

enum yml_kind { YML_SCALAR, YML_LIST, YML_MAP };

struct yml_doc;
struct yml_node {
  const struct yml_doc *doc;
  enum yml_kind kind;
  bool plain;                 /* scalar: without quotes */
  int line, column;           /* from 1; a node that is used by alias has its anchor's */
  int size, height;           /* nodes from here down with aliases written out; levels */
  size_t bytes;               /* of the scalars from here down, likewise */
  char *text;                 /* scalar: NUL-ended, no NUL inside, valid UTF-8 */
  int n;                      /* list, map: how many */
  struct yml_node **items;    /* list: items, map: values */
  struct yml_node **keys;     /* map: scalars, unique, in the order of the text (those of `<<` where it stood) */
  struct yml_node *next_made; /* all nodes of the document, for the end */
};

struct yml_doc {
  char *file, *text;
  char *folder;          /* from which relative paths in it count; NULL: nobody said */
  struct yml_node *root; /* never NULL; of an empty text a plain scalar "" */
  struct yml_node *made;
  int refs;
};

/* NULL where d got errors. text need not end in NUL. The caller has one reference. */
struct yml_doc *yml_parse(const char *file, const char *text, size_t len, struct diags *d) must_check;
struct yml_doc *yml_hold(struct yml_doc *doc) must_check; /* one more reference; returns doc */
void yml_drop(struct yml_doc *doc);                       /* one less; the last frees all nodes. NULL: nothing */

/* The value of a key; NULL where it isn't there or map is not a map (or NULL). */
const struct yml_node *yml_get(const struct yml_node *map, const char *key);
const struct yml_node *yml_get_key(const struct yml_node *map, const char *key); /* the key's own node, for messages */
/* Empty, ~ or null, plain. */
bool yml_is_null(const struct yml_node *n);
/* A diagnostic at the node's place. */
void yml_error(struct diags *d, const struct yml_node *n, const char *help, const char *fmt, ...) printf_like(4, 5);
/* Whether a character may stand in a text as it is. */
bool yml_allowed(uint32_t c);
/* The node as YAML text that reads back as the same tree, aliases written out. Keys for which `skip` (may be NULL) says so are
   left out of the top map. Ends with a line feed. Check out->failed: aliases can make it large. */
void yml_write(const struct yml_node *n, bool (*skip)(const char *key), struct buf *out);
#endif
