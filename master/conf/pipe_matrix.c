/* `matrix` of a builder: from axes, `exclude` and `include` to combinations, each a builder with a name of its own.

   The combinations of the axes come first, the first axis turning slowest; then those that `include` adds, in their order. How many there are is known before any is made. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

#define VALUE_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-"
enum { AXIS_NAME_MAX = 64 };

/* --- names --- */

static bool is_value(const char *s, size_t n)
{
  return n > 0 && n <= PIPELINE_VALUE_MAX && strspn(s, VALUE_CHARS) >= n;
}

bool pipeline_is_builder(const char *s, size_t n)
{
  const char *open = memchr(s, '[', n), *p, *end = s + n - 1;

  if (!open)
    return str_is_name(s, n);
  if (n > PIPELINE_BUILDER_MAX || !str_is_name(s, (size_t)(open - s)) || *end != ']')
    return false;
  for (p = open + 1;; p++) {
    const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
    if (!is_value(p, (size_t)(stop - p)))
      return false;
    if (!comma)
      return true;
    p = comma;
  }
}

/* --- what the file says --- */

static bool is_axis_key(const char *key)
{
  return strcmp(key, "include") && strcmp(key, "exclude");
}

static bool check_axis_name(struct maker *m, const struct yml_node *key)
{
  if (!pipe_is_word(key->text) || strlen(key->text) > AXIS_NAME_MAX)
    yml_error(m->d, key, "letters, digits and underscores, first no digit", "\"%.80s\" can't be the name of an axis, which is a variable too", key->text);
  else if (str_starts(key->text, "DROVER_"))
    yml_error(m->d, key, NULL, "variables that start with DROVER_ are set by drover only");
  else
    return true;
  return false;
}

static bool check_value(struct maker *m, const char *axis, const struct yml_node *n)
{
  static const char help[] = "1 to 32 letters, digits and . _ + -, because it becomes part of the builder's name";
  char *got;

  if (n->kind == YML_SCALAR && !yml_is_null(n) && is_value(n->text, strlen(n->text)))
    return true;
  got = schema_shown(n);
  yml_error(m->d, n, help, "%s can't be a value of the axis \"%s\"", got, axis);
  free(got);
  return false;
}

/* The axis that a key of `include` or `exclude` names; -1: none (told). */
static int axis_of(struct maker *m, const struct matrix *x, const struct yml_node *key)
{
  const char *names[PIPELINE_AXES_MAX];
  char *help;

  for (int a = 0; a < x->naxes; a++) {
    names[a] = x->axis[a]->text;
    if (!strcmp(names[a], key->text))
      return a;
  }
  help = pipe_did_you_mean(key->text, names, x->naxes);
  yml_error(m->d, key, help, "the matrix has no axis \"%.80s\"", key->text);
  free(help);
  return -1;
}

static bool add_axis(struct maker *m, struct matrix *x, const struct yml_node *key)
{
  if (!check_axis_name(m, key))
    return false;
  if (x->naxes == PIPELINE_AXES_MAX) {
    yml_error(m->d, key, NULL, "more than %d axes", PIPELINE_AXES_MAX);
    return false;
  }
  x->axis[x->naxes++] = key;
  return true;
}

/* A scalar stands for a list of one. */
static int values_n(const struct yml_node *n)
{
  return n->kind == YML_LIST ? n->n : 1;
}

static const struct yml_node *value_at(const struct yml_node *n, int i)
{
  return n->kind == YML_LIST ? n->items[i] : n;
}

static bool check_values(struct maker *m, const struct yml_node *key, const struct yml_node *n)
{
  bool good = true;

  if (n->kind == YML_MAP || yml_is_null(n) || !values_n(n)) {
    char *got = schema_shown(n);
    yml_error(m->d, n, NULL, "the axis \"%s\" wants a list of values, got %s", key->text, got);
    free(got);
    return false;
  }
  for (int i = 0; i < values_n(n) && i <= PIPELINE_COMBINATIONS_MAX; i++) {
    bool twice = false;
    if (!check_value(m, key->text, value_at(n, i))) {
      good = false;
      continue;
    }
    for (int k = 0; k < i && !twice; k++)
      twice = value_at(n, k)->kind == YML_SCALAR && !strcmp(value_at(n, k)->text, value_at(n, i)->text);
    if (twice)
      yml_error(m->d, value_at(n, i), NULL, "the value \"%s\" stands twice", value_at(n, i)->text);
    good &= !twice;
  }
  return good;
}

/* --- combinations --- */

/* All of them, in order. Not one is made where they are too many. */
static bool make_product(struct maker *m, const struct yml_node *matrix, struct matrix *x)
{
  const struct yml_node *list[PIPELINE_AXES_MAX];
  int64_t n = 1;

  for (int a = 0; a < x->naxes; a++) {
    list[a] = yml_get(matrix, x->axis[a]->text);
    if (__builtin_mul_overflow(n, (int64_t)values_n(list[a]), &n)) {
      yml_error(m->d, matrix, NULL, "the matrix has more combinations than can be counted, %d are the most", PIPELINE_COMBINATIONS_MAX);
      return false;
    }
  }
  if (n > PIPELINE_COMBINATIONS_MAX) {
    yml_error(m->d, matrix, "those that `exclude` takes away are counted; `include` alone makes as many as it has", "the matrix has %lld combinations, %d are the most", (long long)n,
              PIPELINE_COMBINATIONS_MAX);
    return false;
  }
  x->n = (int)n;
  for (int i = 0; i < x->n; i++)
    for (int a = x->naxes - 1, rest = i; a >= 0; a--) {
      x->v[i][a] = value_at(list[a], rest % values_n(list[a]));
      rest /= values_n(list[a]);
    }
  return true;
}

/* What an item of `include` or `exclude` says of each axis; NULL: nothing. False: told. */
static bool read_item(struct maker *m, const struct matrix *x, const struct yml_node *item, const char *what, const struct yml_node *v[PIPELINE_AXES_MAX])
{
  bool good = true;

  memset(v, 0, PIPELINE_AXES_MAX * sizeof *v);
  if (item->kind != YML_MAP || !item->n) {
    char *got = schema_shown(item);
    yml_error(m->d, item, NULL, "\"%s\" wants maps of axes and values, got %s", what, got);
    free(got);
    return false;
  }
  for (int i = 0; i < item->n; i++) {
    int a = axis_of(m, x, item->keys[i]);
    good &= a >= 0 && check_value(m, item->keys[i]->text, item->items[i]);
    if (a >= 0)
      v[a] = item->items[i];
  }
  return good;
}

static bool matches(const struct yml_node *const *combination, const struct yml_node *const *v, int naxes)
{
  for (int a = 0; a < naxes; a++)
    if (v[a] && strcmp(v[a]->text, combination[a]->text))
      return false;
  return true;
}

/* An item that takes nothing away, because another did before, is as good as one that matches. */
static void exclude(struct maker *m, struct matrix *x, const struct yml_node *list)
{
  bool gone[PIPELINE_COMBINATIONS_MAX] = { 0 };
  int kept = 0;

  for (int k = 0; k < values_n(list); k++) {
    const struct yml_node *v[PIPELINE_AXES_MAX];
    bool any = false;
    if (!read_item(m, x, value_at(list, k), "exclude", v))
      continue;
    for (int i = 0; i < x->n; i++)
      if (matches(x->v[i], v, x->naxes))
        gone[i] = any = true;
    if (!any)
      yml_error(m->d, value_at(list, k), NULL, "this excludes nothing: no combination has these values");
  }
  for (int i = 0; i < x->n; i++)
    if (!gone[i])
      memmove(x->v[kept++], x->v[i], sizeof x->v[i]);
  x->n = kept;
}

static void include(struct maker *m, struct matrix *x, const struct yml_node *list)
{
  for (int k = 0; k < values_n(list); k++) {
    const struct yml_node *item = value_at(list, k), *v[PIPELINE_AXES_MAX];
    bool good = read_item(m, x, item, "include", v);
    for (int a = 0; a < x->naxes && good; a++)
      if (!v[a]) {
        yml_error(m->d, item, NULL, "this has no value of the axis \"%s\"", x->axis[a]->text);
        good = false;
      }
    for (int i = 0; i < x->n && good; i++)
      if (matches(x->v[i], v, x->naxes)) {
        yml_error(m->d, item, NULL, "the matrix has this combination already");
        good = false;
      }
    if (!good)
      continue;
    if (x->n == PIPELINE_COMBINATIONS_MAX) {
      yml_error(m->d, item, NULL, "the matrix has more than %d combinations", PIPELINE_COMBINATIONS_MAX);
      return;
    }
    memcpy(x->v[x->n++], v, sizeof v);
  }
}

/* Where there are no axes beside it, those of the first item of `include` are the matrix's. */
static bool read_axes(struct maker *m, struct matrix *x, const struct yml_node *n, const struct yml_node *added)
{
  bool good = true;

  for (int i = 0; i < n->n; i++)
    if (is_axis_key(n->keys[i]->text)) {
      good &= add_axis(m, x, n->keys[i]);
      good &= check_values(m, n->keys[i], n->items[i]);
    }
  if (!good || x->naxes)
    return good;
  if (added && added->kind != YML_SCALAR && values_n(added) && value_at(added, 0)->kind == YML_MAP)
    for (int i = 0; good && i < value_at(added, 0)->n; i++)
      good = add_axis(m, x, value_at(added, 0)->keys[i]);
  if (good && !x->naxes)
    yml_error(m->d, n, "an axis is a name and a list: CC: [gcc, clang]", "the matrix has no axis");
  return good && x->naxes;
}

static enum expr_type type_of(const struct yml_node *n)
{
  int64_t v;

  if (n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false")))
    return EXPR_BOOL;
  return n->plain && pipe_is_number(n->text, &v) ? EXPR_NUMBER : EXPR_TEXT;
}

/* Values of an axis have one type, so that an expression that is right for one is right for all: texts, unless all are numbers, or all true and false. */
static void find_types(struct matrix *x)
{
  for (int a = 0; a < x->naxes; a++) {
    x->type[a] = type_of(x->v[0][a]);
    for (int i = 1; i < x->n; i++)
      if (type_of(x->v[i][a]) != x->type[a])
        x->type[a] = EXPR_TEXT;
  }
}

bool pipe_matrix(struct maker *m, const struct yml_node *n, struct matrix *x)
{
  const struct yml_node *added = yml_get(n, "include"), *taken = yml_get(n, "exclude");
  int before = diag_count(m->d);
  bool has_axes;

  if (n->kind != YML_MAP) /* the check has told */
    return false;
  if (!read_axes(m, x, n, added))
    return false;
  has_axes = yml_get(n, x->axis[0]->text) != NULL;
  if (has_axes && !make_product(m, n, x))
    return false;
  if (taken)
    exclude(m, x, taken);
  if (added)
    include(m, x, added);
  if (diag_count(m->d) != before)
    return false;
  if (!x->n) {
    yml_error(m->d, n, NULL, "`exclude` leaves no combination");
    return false;
  }
  find_types(x);
  return true;
}

/* --- one combination --- */

bool pipe_combine(struct maker *m, struct pipe_builder *b, const struct yml_node *key, const struct matrix *x, int i)
{
  struct buf name;
  bool good;

  buf_init(&name, BUF_NO_MAX);
  buf_adds(&name, key->text);
  b->axes = pipe_take(m->w, (size_t)x->naxes, sizeof *b->axes);
  b->naxes = x->naxes;
  for (int a = 0; a < x->naxes; a++) {
    const struct yml_node *v = x->v[i][a];
    b->axes[a] = (struct pipe_axis){ x->axis[a]->text, v->text, v };
    buf_addf(&name, "%c%s", a ? ',' : '[', v->text);
  }
  buf_addc(&name, ']');
  good = name.len <= PIPELINE_BUILDER_MAX;
  if (!good)
    yml_error(m->d, key, "a shorter name, or shorter values", "the name of a combination has at most %d bytes: %s", PIPELINE_BUILDER_MAX, buf_str(&name));
  b->base = key->text;
  b->name = pipe_copy(m->w, buf_str(&name));
  buf_free(&name);
  return good;
}

static struct expr_value *value_of(struct maker *m, const char *text, enum expr_type type)
{
  struct expr_value *v = pipe_scratch(m, 1, sizeof *v);

  *v = (struct expr_value){ .type = type };
  if (type == EXPR_BOOL)
    v->yes = !strcmp(text, "true");
  else if (type == EXPR_TEXT)
    v->text.s = text, v->text.len = strlen(text);
  else if (!pipe_is_number(text, &v->number))
    assert(!"type_of() says that it is a number");
  return v;
}

const struct expr_name *pipe_matrix_names(struct maker *m, const struct matrix *x, int i)
{
  struct expr_name *names = pipe_scratch(m, (size_t)(PIPE_NAMES_COUNT + x->naxes + 1), sizeof *names);

  memcpy(names, pipe_names, PIPE_NAMES_COUNT * sizeof *names);
  for (int a = 0; a < x->naxes; a++) {
    char *name = pipe_scratch(m, 1, strlen(x->axis[a]->text) + sizeof "matrix.");
    strcat(strcpy(name, "matrix."), x->axis[a]->text);
    names[PIPE_NAMES_COUNT + a] = (struct expr_name){ name, x->type[a], "", value_of(m, x->v[i][a]->text, x->type[a]) };
  }
  return names;
}
