/* The table of keys (schema.def), the check of a tree against it, and the reading of values with its defaults. What a single value may be: schema_value.c. */
#include "master/conf/schema_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipeline.h"

#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)
#define OUTPUT_LEAST (INT64_C(64) << 10)
#define OUTPUT_MOST (INT64_C(16) << 40)

_Static_assert(SCHEMA_GROUPS <= 64, "struct key.in has a bit for each");
#define BIT_(g) (UINT64_C(1) << SCHEMA_##g)
#define IN(...) IN_PICK(__VA_ARGS__, IN4, IN3, IN2, IN1, 0)(__VA_ARGS__)
#define IN_PICK(a, b, c, d, name, ...) name
#define IN1(a) BIT_(a)
#define IN2(a, b) (BIT_(a) | BIT_(b))
#define IN3(a, b, c) (BIT_(a) | BIT_(b) | BIT_(c))
#define IN4(a, b, c, d) (BIT_(a) | BIT_(b) | BIT_(c) | BIT_(d))
#define KEY(k, groups, t, ...) { .key = k, .in = groups, .types = t, __VA_ARGS__ },
#define LATER(groups, list) { .in = groups, .later = list },
#define NEVER(groups, list, text) { .in = groups, .never = list, .why = text },
#define GROUP(...)
static const struct key keys[] = {
#include "master/conf/schema.def"
};
#undef KEY
#undef LATER
#undef NEVER
#undef GROUP
#define KEY(...)
#define LATER(...)
#define NEVER(...)

#define GROUP(name, ...) [SCHEMA_##name] = { #name, __VA_ARGS__ },
static const struct { const char *name, *path, *title; bool site, repository; } groups[SCHEMA_GROUPS] = {
#include "master/conf/schema.def"
};

const struct key *schema_row(size_t i)
{
  return i < COUNT(keys) ? &keys[i] : NULL;
}

const char *schema_group_name(enum schema_group group)
{
  return groups[group].name;
}

const char *schema_title(enum schema_group group)
{
  return groups[group].title;
}

static const struct key *find_row(enum schema_group group, const char *key)
{
  for (size_t i = 0; i < COUNT(keys); i++)
    if ((keys[i].in & UINT64_C(1) << group) && str_eq(keys[i].key, key))
      return &keys[i];
  return NULL;
}

static const struct key *row_of(enum schema_group group, const char *key)
{
  assert(find_row(group, key));
  return find_row(group, key);
}

static void wrong(struct diags *d, const struct key *k, const struct yml_node *n)
{
  char *wants = schema_wants(k), *got = schema_shown(n);

  yml_error(d, n, n->kind == YML_SCALAR && !yml_is_null(n) ? schema_wants_help(k) : NULL,
            "\"%s\" wants %s, got %s", k->key, wants, got);
  free(got);
  free(wants);
}

/* --- the walk --- */

static void check_map(const struct yml_node *map, enum schema_group group,
                      const struct yml_node *name, struct diags *d);

/* Made when all that it is made of is known. */
static bool is_fixed(const struct key *k, const struct yml_node *n)
{
  return k->fixed && n->kind == YML_SCALAR && strstr(n->text, "${{");
}

/* expressions: whether there may be some in the text; pipe_expr.c reads them. */
static bool check_text(const struct yml_node *n, size_t max, bool expressions, struct diags *d)
{
  if (!expressions && strstr(n->text, "${{"))
    yml_error(d, n, "they may stand in `env` and in a `run` that is a list",
              "an expression, ${{ … }}, can't stand here");
  else if (strlen(n->text) > max)
    yml_error(d, n, NULL, "longer than %zu KiB", max >> 10);
  else
    return true;
  return false;
}

static void check_script(const struct yml_node *n, struct diags *d)
{
  if (strlen(n->text) > SCHEMA_SCRIPT_MAX)
    yml_error(d, n, "put it into a file of the repository and run that",
              "a script of more than %u KiB", SCHEMA_SCRIPT_MAX >> 10);
}

static void check_strings(const struct key *k, const struct yml_node *n, struct diags *d)
{
  struct key item = { .key = k->key, .types = k->types & T_ARGV ? T_TEXT : k->item, .min = k->min, .max = k->max, .words = k->item & T_WORD ? k->words : NULL, .abroad = k->abroad };

  for (int i = 0; i < n->n; i++) {
    const struct yml_node *s = n->items[i];
    bool text = s->kind == YML_SCALAR && !yml_is_null(s);
    if (is_fixed(k, s))
      continue;
    if (text && !check_text(s, SCHEMA_SCRIPT_MAX, k->types & T_ARGV, d))
      continue;
    if (!text || (!(k->types & T_ARGV && i > 0) &&
                  !schema_fits(item.types, &item, s))) /* an argument may be empty */
      wrong(d, &item, s);
  }
}

static void check_env(const struct yml_node *map, struct diags *d)
{
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *key = map->keys[i], *value = map->items[i];
    const char *name = key->text;
    char *got = schema_shown(key);
    if (!*name || (*name >= '0' && *name <= '9') || !schema_only(name, "_") || strlen(name) > 255)
      yml_error(d, key, "letters, digits and underscores, first no digit",
                "%s can't be the name of a variable", got);
    else if (str_starts(name, "DROVER_"))
      yml_error(d, key, NULL, "variables that start with DROVER_ are set by drover only");
    free(got);
    if (value->kind == YML_SCALAR && !yml_is_null(value)) {
      check_text(value, SCHEMA_ENV_VALUE_MAX, true, d);
      continue;
    }
    got = schema_shown(value);
    yml_error(d, value, yml_is_null(value) ? "write \"\" for an empty one" : NULL,
              "\"%s\" wants a string, got %s", name, got);
    free(got);
  }
}

static void check_named(const struct key *k, const struct yml_node *map, struct diags *d)
{
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *key = map->keys[i], *value = map->items[i];
    struct key one = { .key = key->text, .types = T_MAP };
    if (!str_is_name(key->text, strlen(key->text))) {
      struct key name = { .key = k->key, .types = T_NAME };
      wrong(d, &name, key);
    }
    if (value->kind == YML_MAP || yml_is_null(value))
      check_map(value, k->sub, key, d);
    else
      wrong(d, &one, value);
  }
}

static void check_steps(const struct key *k, const struct yml_node *list, struct diags *d)
{
  static const struct key one = { .key = "steps", .types = T_SCRIPT | T_MAP };

  if (!list->n)
    yml_error(d, list, NULL, "\"%s\" has no step", k->key);
  for (int i = 0; i < list->n; i++) {
    const struct yml_node *s = list->items[i];
    if (s->kind == YML_MAP)
      check_map(s, k->sub, NULL, d);
    else if (s->kind == YML_SCALAR && !yml_is_null(s) && s->text[0])
      check_script(s, d);
    else
      wrong(d, &one, s);
  }
}

/* The words of a program are taken as they are. */
static void check_words(const struct yml_node *list, struct diags *d)
{
  for (int i = 0; list && list->kind == YML_LIST && i < list->n; i++)
    if (list->items[i]->kind == YML_SCALAR && strstr(list->items[i]->text, "${{"))
      yml_error(d, list->items[i], NULL, "an expression, ${{ … }}, can't stand here");
}

static void check_includes(const struct key *k, const struct yml_node *n, struct diags *d)
{
  static const struct key file = { .key = "include", .types = T_TEXT | T_MAP };

  if (n->kind == YML_LIST) {
    for (int i = 0; i < n->n; i++)
      if (n->items[i]->kind == YML_LIST)
        wrong(d, &file, n->items[i]);
      else
        check_includes(k, n->items[i], d);
  } else if (n->kind == YML_MAP) {
    check_map(n, k->sub, NULL, d);
    check_words(yml_get(n, "run"), d);
  } else if (yml_is_null(n) || !n->text[0]) {
    wrong(d, &file, n);
  } else {
    (void)check_text(n, SCHEMA_SCRIPT_MAX, false, d);
  }
}

bool schema_is_options(const struct yml_node *map, enum schema_group group)
{
  for (int i = 0; i < map->n; i++)
    if (map->items[i]->kind == YML_SCALAR && (!yml_is_null(map->items[i]) || find_row(group, map->keys[i]->text)))
      return true;
  return !map->n;
}

/* Codebases, each with options or nothing. */
static void check_codebases(const struct key *k, const struct yml_node *map, struct diags *d)
{
  struct key name = { .key = k->key, .types = T_NAME };

  for (int i = 0; i < map->n; i++) {
    struct key one = { .key = map->keys[i]->text, .types = T_MAP };
    if (!str_is_name(map->keys[i]->text, strlen(map->keys[i]->text)))
      wrong(d, &name, map->keys[i]);
    else if (map->items[i]->kind == YML_LIST)
      wrong(d, &one, map->items[i]);
    else
      check_map(map->items[i], k->sub, map->keys[i], d);
  }
}

static void check_checkout(const struct key *k, const struct yml_node *n, struct diags *d)
{
  struct key item = { .key = k->key, .types = T_NAME | T_MAP };

  if (n->kind == YML_MAP && schema_is_options(n, k->sub))
    check_map(n, k->sub, NULL, d);
  else if (n->kind == YML_MAP)
    check_codebases(k, n, d);
  else if (!n->n)
    wrong(d, k, n);
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++) {
    const struct yml_node *it = n->items[i];
    if (it->kind == YML_MAP && schema_is_options(it, k->sub))
      yml_error(d, it, "checkout: [{core: {to: lib/core}}, ui]", "in a list each of \"%s\" is a codebase, with options or without", k->key);
    else if (it->kind == YML_MAP)
      check_codebases(k, it, d);
    else if (it->kind != YML_SCALAR || yml_is_null(it) || !schema_fits(T_NAME, &item, it))
      wrong(d, &item, it);
  }
}

/* A scalar where a list is wanted. */
static void check_item(const struct key *k, const struct yml_node *n, struct diags *d)
{
  struct key item = { .key = k->key, .types = k->item | (k->types & T_WORD), .min = k->min, .max = k->max, .words = k->words, .abroad = k->abroad };

  if (!schema_fits(item.types, &item, n))
    wrong(d, &item, n);
}

static void check_scalar(const struct key *k, const struct yml_node *key, const struct yml_node *n,
                         struct diags *d)
{
  if (yml_is_null(n) && k->types & T_MAP)
    check_map(n, k->sub, key, d);
  else if (yml_is_null(n) && k->types & T_CHECKOUT)
    return;
  else if (k->types & T_CHECKOUT && !strcmp(n->text, "none") && !schema_has_word(k->words, n->text))
    wrong(d, k, n); /* no codebase is called so */
  else if (yml_is_null(n) && k->types & (T_NAMED | T_ENV | T_VALUES | T_TAKES | T_LOCKS | T_LOGS))
    return; /* all its entries are commented out */
  else if (yml_is_null(n))
    wrong(d, k, n);
  else if (k->types & T_CONDITION || (k->types & T_FORMULA && !schema_is_number(n->text)) || is_fixed(k, n))
    return;
  else if (!(k->types & T_SCRIPT) && !check_text(n, SCHEMA_SCRIPT_MAX, k->live, d))
    return;
  else if (k->types & T_STRINGS)
    check_item(k, n, d);
  else if (!schema_fits(k->types, k, n))
    wrong(d, k, n);
  else if (k->types & T_SCRIPT)
    check_script(n, d);
}

static void check_value(const struct key *k, const struct yml_node *key, const struct yml_node *n,
                        struct diags *d)
{
  if (k->types & T_INCLUDES)
    check_includes(k, n, d);
  else if (n->kind == YML_SCALAR)
    check_scalar(k, key, n, d);
  else if (n->kind == YML_LIST && (k->types & T_STRINGS || (k->types & T_ARGV && n->n)))
    check_strings(k, n, d);
  else if (n->kind == YML_LIST && k->types & T_STEPS)
    check_steps(k, n, d);
  else if (n->kind == YML_MAP && k->types & T_MAP)
    check_map(n, k->sub, key, d);
  else if (n->kind == YML_MAP && k->types & T_NAMED)
    check_named(k, n, d);
  else if (n->kind == YML_MAP && k->types & T_ENV)
    check_env(n, d);
  else if (n->kind != YML_SCALAR && k->types & T_CHECKOUT)
    check_checkout(k, n, d);
  else if ((n->kind == YML_MAP && k->types & (T_MATRIX | T_VALUES | T_TAKES | T_EXITS | T_LOCKS | T_LOGS)) || (n->kind != YML_SCALAR && k->types & (T_NEEDS | T_INPUT)))
    return; /* its reader checks it */
  else
    wrong(d, k, n);
}

static const char *nearest_key(const char *word, enum schema_group group)
{
  unsigned best = strlen(word) < 4 ? 2 : 3; /* as far is too far */
  const char *found = NULL;

  for (size_t i = 0; i < COUNT(keys); i++)
    if (keys[i].key && (keys[i].in & UINT64_C(1) << group)) {
      unsigned far = str_distance(word, keys[i].key);
      if (far < best) {
        best = far;
        found = keys[i].key;
      }
    }
  return found;
}

/* "it is a key of a step"; NULL: of nothing. Rather where the file at hand may have it. */
static char *belongs_elsewhere(const char *word, enum schema_group group)
{
  const char *found = NULL;
  int best = -1;

  for (int g = 0; g < SCHEMA_GROUPS; g++) {
    int fits = groups[g].repository == groups[group].repository;
    if (fits > best && find_row((enum schema_group)g, word)) {
      best = fits;
      found = groups[g].title;
    }
  }
  return found ? xasprintf("it is a key of %s", found) : NULL;
}

static bool is_later(const char *word, enum schema_group group)
{
  for (size_t i = 0; i < COUNT(keys); i++)
    if ((keys[i].in & UINT64_C(1) << group) && schema_has_word(keys[i].later, word))
      return true;
  return false;
}

/* NULL: it may be there, or nobody knows it. */
static const char *why_never(const char *word, enum schema_group group)
{
  for (size_t i = 0; i < COUNT(keys); i++)
    if ((keys[i].in & UINT64_C(1) << group) && schema_has_word(keys[i].never, word))
      return keys[i].why;
  return NULL;
}

static void unknown_key(const struct yml_node *key, enum schema_group group, struct diags *d)
{
  const char *near = nearest_key(key->text, group);
  char *help = near ? xasprintf("did you mean \"%s\"?", near) : belongs_elsewhere(key->text, group);
  char *got = schema_shown(key);

  yml_error(d, key, help, "unknown key %s", got);
  free(help);
  free(got);
}

/* name: the key under which the map stands, for messages about what it lacks; NULL: the map itself. */
static void check_map(const struct yml_node *map, enum schema_group group,
                      const struct yml_node *name, struct diags *d)
{
  bool strange = false;

  for (int i = 0; map->kind == YML_MAP && i < map->n; i++) {
    const struct yml_node *key = map->keys[i];
    const struct key *k = find_row(group, key->text);
    strange |= !k;
    if (k)
      check_value(k, key, map->items[i], d);
    else if (is_later(key->text, group))
      yml_error(d, key, NULL, "\"%s\" is not supported by this version yet", key->text);
    else if (why_never(key->text, group))
      yml_error(d, key, NULL, "%s", why_never(key->text, group));
    else
      unknown_key(key, group, d);
  }
  /* What is missing may be what the strange key was meant for. */
  for (size_t i = 0; !strange && i < COUNT(keys); i++)
    if (keys[i].required && (keys[i].in & UINT64_C(1) << group) && !yml_get(map, keys[i].key))
      yml_error(d, name ? name : map, NULL, "\"%s\" wants the key \"%s\"",
                name ? name->text : groups[group].title, keys[i].key);
}

void schema_check(const struct yml_doc *doc, enum schema_group root, struct diags *d)
{
  const struct yml_node *n = doc->root;

  if (n->kind == YML_MAP || yml_is_null(n)) {
    check_map(n, root, NULL, d);
  } else {
    char *got = schema_shown(n);
    yml_error(d, n, NULL, "%s is a map, got %s", groups[root].title, got);
    free(got);
  }
}

bool schema_check_made(const struct yml_node *n, const char *text, enum schema_group group, const char *key, struct diags *d)
{
  const struct key *k = row_of(group, key);
  struct key item = { .key = key, .types = k->types & T_STRINGS ? k->item : k->types, .min = k->min, .max = k->max, .words = k->words, .abroad = k->abroad };
  struct yml_node made = *n;

  made.text = (char *)(uintptr_t)text;
  made.plain = false;
  if (schema_fits(item.types, &item, &made))
    return true;
  wrong(d, &item, &made);
  return false;
}

/* --- reading values --- */

bool schema_has(enum schema_group group, const char *key)
{
  return find_row(group, key) != NULL;
}

/* The scalar at a key if it is one of these types. */
static const char *scalar_of(const struct yml_node *map, const struct key *k, uint64_t mask)
{
  const struct yml_node *n = yml_get(map, k->key);
  return n && n->kind == YML_SCALAR && !yml_is_null(n) && schema_fits(k->types & mask, k, n) ? n->text
                                                                                           : NULL;
}

const char *schema_text(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, UINT64_MAX);
  return s ? s : k->fallback;
}

int64_t schema_ms(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, T_DURATION);
  int64_t ms = 0;

  if (!s)
    s = k->fallback;
  if (s && str_duration(s, &ms))
    assert(!"a default that is no duration");
  return ms;
}

int64_t schema_size(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, T_SIZE);
  int64_t bytes = 0;

  if (!s)
    s = k->fallback;
  if (s && str_size(s, &bytes))
    assert(!"a default that is no size");
  return bytes;
}

int64_t schema_int(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, T_INT);
  int64_t v = 0;

  if (!s)
    s = k->fallback;
  if (s && str_number(s, strlen(s), &v))
    assert(!"a default that is no number");
  return v;
}

bool schema_bool(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, T_BOOL);
  return str_eq(s ? s : k->fallback, "true");
}

/* --- the reference --- */

static void fill_view(struct schema_view *v, const struct key *k, enum schema_group g)
{
  *v = (struct schema_view){ .path = groups[g].path,
                             .key = k->key,
                             .doc = k->doc,
                             .example = k->example,
                             .fallback = k->fallback,
                             .words = k->types & T_WORD ? k->words : NULL,
                             .required = k->required, .restart = k->restart,
                             .site = groups[g].site,
                             .repository = groups[g].repository,
                             .group = g };
}

bool schema_keys(size_t *at, struct schema_view *v)
{
  for (; *at < COUNT(keys) * SCHEMA_GROUPS; ++*at) {
    enum schema_group g = (enum schema_group)(*at / COUNT(keys));
    const struct key *k = &keys[*at % COUNT(keys)];
    if (k->key && (k->in & UINT64_C(1) << g)) {
      fill_view(v, k, g);
      ++*at;
      return true;
    }
  }
  *v = (struct schema_view){ 0 };
  return false;
}

char *schema_view_wants(const struct schema_view *v)
{
  return schema_wants(row_of(v->group, v->key));
}
