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
  T_TAKES = 1 << 25,   /* variable → secret; pipe_secret.c reads it */
  T_INCLUDES = 1 << 26, /* a file's name or a map of group `sub`, or a list of them; parts.c reads it */
  T_EXITS = 1 << 27,   /* exit status → result; pipe_result.c reads it */
  T_LOCKS = 1 << 28,   /* lock → how many; pipe_lock.c reads it */
  T_CHECKOUT = 1 << 29, /* a list of codebases, or codebase → options (group `sub`), or options alone; pipe_checkout.c reads it */
  T_FORMULA = 1 << 30, /* beside T_INT: an expression that makes one; pipe_sched.c reads it */
};

#define T_LOGS (1u << 31) /* log → file; pipe_log.c reads it */
#define T_PTY (UINT64_C(1) << 32)   /* a scalar, COLSxROWS */
#define T_INPUT (UINT64_C(1) << 33) /* beside T_TEXT: {secret: NAME}, {open: true}, or a list of texts and secrets; pipe_input.c reads it */

struct key {
  const char *key; /* NULL: only `later` or `never` */
  uint64_t in;     /* mask of groups */
  uint64_t types, item;
  enum schema_group sub;
  bool required, restart, empty; /* empty: a text may be */
  bool abroad;     /* T_BUILDER: also of another project, PROJECT/BUILDER */
  bool fixed;      /* may be made by an expression of what is known before the build; pipe_expr.c reads it */
  bool live;       /* a text that may have expressions, which have their values when the build is there */
  int64_t min, max;
  const char *fallback, *words, *doc, *example; /* words: T_WORD; T_EXITS: what a status may mean */
  const char *later; /* words of keys that are to come, separated by blanks */
  const char *never, *why; /* words of keys that stand elsewhere only, and what is said to whoever writes them here */
};

/* Rows, those with `later` or `never` alone too; NULL behind the last. */
const struct key *schema_row(size_t i);
/* "BUILDER", as in schema.def. */
const char *schema_group_name(enum schema_group group);
/* What a map of the group is called in messages. */
const char *schema_title(enum schema_group group);

/* Of lists of words that are separated by one blank. */
bool schema_has_word(const char *words, const char *word);
/* "a whole number from 1 to 64", `"all" or a list of strings`; the caller frees it. And what a good one looks like, or NULL. */
char *schema_wants(const struct key *k) must_check;
const char *schema_wants_help(const struct key *k);
/* Whether a scalar is of one of the types in mask. */
bool schema_fits(uint64_t mask, const struct key *k, const struct yml_node *n);
bool schema_only(const char *s, const char *extra); /* letters, digits and those of extra */
#endif
