/* The table of keys itself, for what is made of it: the check (schema.c) and the JSON Schema (schema_json.c). */
#ifndef MASTER_CONF_SCHEMA_INT_H
#define MASTER_CONF_SCHEMA_INT_H
#include "master/conf/schema.h"

/* What a value may be; a key may take several. Those up to T_WORD are scalars. */
enum type {
  T_TEXT = 1 << 0,
  T_NAME = 1 << 1,
  T_BOOL = 1 << 2,
  T_INT = 1 << 3,
  T_DURATION = 1 << 4,
  T_SIZE = 1 << 5,
  T_ADDRESS = 1 << 6,  /* HOST:PORT */
  T_PATH = 1 << 7,     /* relative, without .. */
  T_BRANCH = 1 << 8,   /* a branch's name or a glob */
  T_URL = 1 << 9,      /* http or https */
  T_SCRIPT = 1 << 10,
  T_NETWORK = 1 << 11, /* an address, or address/bits */
  T_BUILDER = 1 << 12, /* a builder, or one combination of its matrix */
  T_SCALAR = 1 << 13,  /* whatever is neither a map, a list nor nothing */
  T_WORD = 1 << 14,    /* one of `words` */
  T_STRINGS = 1 << 15, /* of `item`; one scalar stands for a list of one */
  T_ARGV = 1 << 16,
  T_MAP = 1 << 17,     /* of group `sub` */
  T_NAMED = 1 << 18,   /* name → map of group `sub` */
  T_ENV = 1 << 19,
  T_STEPS = 1 << 20,   /* scripts, or maps of group `sub` */
  T_CONDITION = 1 << 21, /* an expression; pipe_expr.c reads it */
  T_MATRIX = 1 << 22,  /* axis → values; pipe_matrix.c reads it */
  T_VALUES = 1 << 23,  /* parameter → value; pipe_template.c reads it */
  T_NEEDS = 1 << 24,   /* a list of builders, or builder → good or soft; pipe_needs.c reads it */
};

struct key {
  const char *key; /* NULL: only `later` */
  unsigned in;     /* mask of groups */
  unsigned types, item;
  enum schema_group sub;
  bool required, restart, empty; /* empty: a text may be */
  bool fixed;      /* may be made by an expression of what is known before the build; pipe_expr.c reads it */
  int64_t min, max;
  const char *fallback, *words, *doc, *example;
  const char *later; /* words of keys that are to come, separated by blanks */
};

/* Rows, those with `later` alone too; NULL behind the last. */
const struct key *schema_row(size_t i);
/* "BUILDER", as in schema.def. */
const char *schema_group_name(enum schema_group group);
/* What a map of the group is called in messages. */
const char *schema_title(enum schema_group group);
#endif
