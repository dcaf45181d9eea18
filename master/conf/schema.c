/* The table of keys (schema.def), the check of a tree against it, and the reading of values with its defaults. */
#include "master/conf/schema_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/net.h"
#include "common/str.h"
#include "master/conf/pipeline.h"

#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)

#define BIT_(g) (1u << SCHEMA_##g)
#define IN(...) IN_PICK(__VA_ARGS__, IN4, IN3, IN2, IN1, 0)(__VA_ARGS__)
#define IN_PICK(a, b, c, d, name, ...) name
#define IN1(a) BIT_(a)
#define IN2(a, b) (BIT_(a) | BIT_(b))
#define IN3(a, b, c) (BIT_(a) | BIT_(b) | BIT_(c))
#define IN4(a, b, c, d) (BIT_(a) | BIT_(b) | BIT_(c) | BIT_(d))
#define KEY(k, groups, t, ...) { .key = k, .in = groups, .types = t, __VA_ARGS__ },
#define LATER(groups, list) { .in = groups, .later = list },
#define GROUP(...)
static const struct key keys[] = {
#include "master/conf/schema.def"
};
#undef KEY
#undef LATER
#undef GROUP
#define KEY(...)
#define LATER(...)

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

static const struct { enum type type; const char *wants; const char *help; } types[] = {
  { T_BOOL, "true or false", NULL },
  { T_INT, "a whole number", NULL },
  { T_DURATION, "a duration", "a number and ms, s, m, h or d: 90s, 30m, 1h" },
  { T_SIZE, "a size", "a whole number and K, M, G or T, or 0: 500M, 10G" },
  { T_ADDRESS, "HOST:PORT", "such as 127.0.0.1:7420, [::1]:7420 or *:7421" },
  { T_URL, "an http or https URL", NULL },
  { T_NETWORK, "an address or network", "such as 127.0.0.1, \"::1\" or 10.0.0.0/8; a network's address has no bits behind its length" },
  { T_NAME, "a name", "1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit" },
  { T_BUILDER, "a builder", "its name, or one combination of its matrix: linux, \"linux[gcc]\"" },
  { T_BRANCH, "a branch or pattern", "letters, digits and . _ + @ / -, with * and ? in patterns" },
  { T_PATH, "a folder below the checkout", "a relative path without .." },
  { T_TEXT, "a string", NULL },
  { T_SCALAR, "a text, a number, true or false", NULL },
  { T_SCRIPT, "a script", NULL },
  { T_STRINGS, "a list of strings", NULL },
  { T_ARGV, "a list of strings", NULL },
  { T_NAMED, "a map of names", NULL },
  { T_ENV, "a map of variables", NULL },
  { T_STEPS, "a list of steps", NULL },
  { T_CONDITION, "a condition", "an expression such as branch == \"main\"" },
  { T_MATRIX, "a map of axes", NULL },
  { T_VALUES, "a map of parameters", NULL },
  { T_NEEDS, "a list of builders", NULL },
  { T_MAP, "a map", NULL },
};

static const struct key *find_row(enum schema_group group, const char *key)
{
  for (size_t i = 0; i < COUNT(keys); i++)
    if ((keys[i].in & 1u << group) && str_eq(keys[i].key, key))
      return &keys[i];
  return NULL;
}

static const struct key *row_of(enum schema_group group, const char *key)
{
  assert(find_row(group, key));
  return find_row(group, key);
}

/* Lists of words are separated by one blank. */
static const char *next_word(const char *p)
{
  p += strcspn(p, " ");
  return *p ? p + 1 : p;
}

static bool has_word(const char *words, const char *word)
{
  size_t n = strlen(word);

  for (const char *p = words; p && *p; p = next_word(p))
    if (strcspn(p, " ") == n && !strncmp(p, word, n))
      return true;
  return false;
}

/* "a whole number from 1 to 64", `"all" or a list of strings`. */
static char *wants_text(const struct key *k)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (const char *p = k->words; p && *p; p = next_word(p))
    buf_addf(&b, "%s\"%.*s\"", b.len ? " or " : "", (int)strcspn(p, " "), p);
  for (size_t i = 0; i < COUNT(types); i++) {
    if (!(k->types & types[i].type))
      continue;
    buf_addf(&b, "%s%s", b.len ? " or " : "", types[i].wants);
    if (types[i].type == T_INT)
      buf_addf(&b, " from %lld to %lld", (long long)k->min, (long long)k->max);
    if (types[i].type == T_DURATION) {
      char low[STR_DURATION_MAX], high[STR_DURATION_MAX];
      buf_addf(&b, " from %s to %s", str_duration_text(k->min, low), str_duration_text(k->max, high));
    }
  }
  return buf_take(&b);
}

static const char *wants_help(const struct key *k)
{
  for (size_t i = 0; i < COUNT(types); i++)
    if (k->types & types[i].type && types[i].help)
      return types[i].help;
  return NULL;
}

static bool is_int(const char *s, int64_t min, int64_t max, int64_t *v)
{
  return !str_number(s, strlen(s), v) && *v >= min && *v <= max;
}

static bool is_duration(const char *s, int64_t min, int64_t max, int64_t *v)
{
  return !str_duration(s, v) && *v >= min && *v <= max;
}

static bool only(const char *s, const char *extra)
{
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
          strchr(extra, *s)))
      return false;
  return true;
}

/* HOST:PORT, *:PORT, [IPV6]:PORT */
static bool is_address(const char *s)
{
  const char *colon = strrchr(s, ':');
  char host[256];
  int64_t port;
  size_t n;

  if (!colon || colon == s || (size_t)(colon - s) >= sizeof host ||
      !is_int(colon + 1, 0, 65535, &port))
    return false;
  n = (size_t)(colon - s);
  memcpy(host, s, n);
  host[n] = 0;
  if (!strcmp(host, "*"))
    return true;
  if (host[0] == '[' && n > 3 && host[n - 1] == ']') {
    host[n - 1] = 0;
    return only(host + 1, ":.%");
  }
  return host[0] != '-' && only(host, ".-");
}

static bool is_path(const char *s)
{
  if (!*s || *s == '/')
    return false;
  for (const char *p = s; *p; p += strcspn(p, "/"), p += *p == '/')
    if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
      return false;
  return true;
}

static bool is_branch(const char *s)
{
  return *s && *s != '-' && *s != '/' && strlen(s) <= 255 && only(s, "._/+@*?-") &&
         !strstr(s, "//") && !strstr(s, "..");
}

static bool is_url(const char *s)
{
  const char *rest = str_starts(s, "https://") ? s + 8 : str_starts(s, "http://") ? s + 7 : "";
  return *rest && *rest != '/' && only(rest, "-._~:/?[]@!$&'()*+,;=%");
}

static bool is_scalar_of(unsigned type, const struct key *k, const struct yml_node *n)
{
  struct net net;
  int64_t v;

  switch (type) {
  case T_TEXT: return n->text[0] != 0 || k->empty;
  case T_SCRIPT: return n->text[0] != 0;
  case T_SCALAR: return true;
  case T_BUILDER: return pipeline_is_builder(n->text, strlen(n->text));
  case T_NAME: return str_is_name(n->text, strlen(n->text));
  case T_BOOL: return n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false"));
  case T_INT: return n->plain && is_int(n->text, k->min, k->max, &v);
  case T_DURATION: return is_duration(n->text, k->min, k->max, &v);
  case T_SIZE: return !str_size(n->text, &v);
  case T_ADDRESS: return is_address(n->text);
  case T_PATH: return is_path(n->text);
  case T_BRANCH: return is_branch(n->text);
  case T_URL: return is_url(n->text);
  case T_NETWORK: return !net_parse(n->text, &net);
  case T_WORD: return has_word(k->words, n->text);
  default: return false;
  }
}

static bool is_one_of(unsigned mask, const struct key *k, const struct yml_node *n)
{
  for (unsigned bit = 1; bit <= T_WORD; bit <<= 1)
    if ((mask & bit) && is_scalar_of(bit, k, n))
      return true;
  return false;
}

char *schema_shown(const struct yml_node *n)
{
  enum { SHOWN_MAX = 60 };

  if (n->kind != YML_SCALAR)
    return xasprintf("%s %s", n->n ? "a" : "an empty", n->kind == YML_MAP ? "map" : "list");
  if (yml_is_null(n))
    return xstrdup(n->text[0] ? n->text : "nothing");
  if (strlen(n->text) > SHOWN_MAX)
    return xasprintf("\"%.*s…\"", SHOWN_MAX, n->text);
  return xasprintf("\"%s\"", n->text);
}

static void wrong(struct diags *d, const struct key *k, const struct yml_node *n)
{
  char *wants = wants_text(k), *got = schema_shown(n);

  yml_error(d, n, n->kind == YML_SCALAR && !yml_is_null(n) ? wants_help(k) : NULL,
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
  struct key item = { .key = k->key, .types = k->types & T_ARGV ? T_TEXT : k->item };

  for (int i = 0; i < n->n; i++) {
    const struct yml_node *s = n->items[i];
    bool text = s->kind == YML_SCALAR && !yml_is_null(s);
    if (is_fixed(k, s))
      continue;
    if (text && !check_text(s, SCHEMA_SCRIPT_MAX, k->types & T_ARGV, d))
      continue;
    if (!text || (!(k->types & T_ARGV && i > 0) &&
                  !is_one_of(item.types, &item, s))) /* an argument may be empty */
      wrong(d, &item, s);
  }
}

static void check_env(const struct yml_node *map, struct diags *d)
{
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *key = map->keys[i], *value = map->items[i];
    const char *name = key->text;
    char *got = schema_shown(key);
    if (!*name || (*name >= '0' && *name <= '9') || !only(name, "_") || strlen(name) > 255)
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

/* A scalar where a list is wanted. */
static void check_item(const struct key *k, const struct yml_node *n, struct diags *d)
{
  struct key item = { .key = k->key, .types = k->item | (k->types & T_WORD), .words = k->words };

  if (!is_one_of(item.types, &item, n))
    wrong(d, &item, n);
}

static void check_scalar(const struct key *k, const struct yml_node *key, const struct yml_node *n,
                         struct diags *d)
{
  if (yml_is_null(n) && k->types & T_MAP)
    check_map(n, k->sub, key, d);
  else if (yml_is_null(n) && k->types & (T_NAMED | T_ENV | T_VALUES))
    return; /* all its entries are commented out */
  else if (yml_is_null(n))
    wrong(d, k, n);
  else if (k->types & T_CONDITION || is_fixed(k, n))
    return;
  else if (!(k->types & T_SCRIPT) && !check_text(n, SCHEMA_SCRIPT_MAX, false, d))
    return;
  else if (k->types & T_STRINGS)
    check_item(k, n, d);
  else if (!is_one_of(k->types, k, n))
    wrong(d, k, n);
  else if (k->types & T_SCRIPT)
    check_script(n, d);
}

static void check_value(const struct key *k, const struct yml_node *key, const struct yml_node *n,
                        struct diags *d)
{
  if (n->kind == YML_SCALAR)
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
  else if ((n->kind == YML_MAP && k->types & (T_MATRIX | T_VALUES)) || (n->kind != YML_SCALAR && k->types & T_NEEDS))
    return; /* its reader checks it */
  else
    wrong(d, k, n);
}

static const char *nearest_key(const char *word, enum schema_group group)
{
  unsigned best = strlen(word) < 4 ? 2 : 3; /* as far is too far */
  const char *found = NULL;

  for (size_t i = 0; i < COUNT(keys); i++)
    if (keys[i].key && (keys[i].in & 1u << group)) {
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
    if ((keys[i].in & 1u << group) && has_word(keys[i].later, word))
      return true;
  return false;
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
    else
      unknown_key(key, group, d);
  }
  /* What is missing may be what the strange key was meant for. */
  for (size_t i = 0; !strange && i < COUNT(keys); i++)
    if (keys[i].required && (keys[i].in & 1u << group) && !yml_get(map, keys[i].key))
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
  struct key item = { .key = key, .types = k->types & T_STRINGS ? k->item : k->types, .min = k->min, .max = k->max, .words = k->words };
  struct yml_node made = *n;

  made.text = (char *)(uintptr_t)text;
  made.plain = false;
  if (is_one_of(item.types, &item, &made))
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
static const char *scalar_of(const struct yml_node *map, const struct key *k, unsigned mask)
{
  const struct yml_node *n = yml_get(map, k->key);
  return n && n->kind == YML_SCALAR && !yml_is_null(n) && is_one_of(k->types & mask, k, n) ? n->text
                                                                                           : NULL;
}

const char *schema_text(const struct yml_node *map, enum schema_group group, const char *key)
{
  const struct key *k = row_of(group, key);
  const char *s = scalar_of(map, k, ~0u);
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
  free(v->wants);
  *v = (struct schema_view){ .path = groups[g].path,
                             .key = k->key,
                             .doc = k->doc,
                             .example = k->example,
                             .fallback = k->fallback,
                             .words = k->words,
                             .wants = wants_text(k),
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
    if (k->key && (k->in & 1u << g)) {
      fill_view(v, k, g);
      ++*at;
      return true;
    }
  }
  free(v->wants);
  *v = (struct schema_view){ 0 };
  return false;
}
