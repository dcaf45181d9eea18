/* What a step's command reads, and its terminal. */
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

enum { PTY_COLS = 80, PTY_ROWS = 24 };

static const char help[] = "a text, {secret: NAME}, {open: true}, or a list of texts and secrets";

static void add_secret(struct maker *m, struct pipe_step *s, const struct yml_node *name)
{
  if (s->nsecrets == PIPELINE_SECRETS_MAX) {
    yml_error(m->d, name, NULL, "a step takes at most %d secrets", PIPELINE_SECRETS_MAX);
    return;
  }
  s->secrets[s->nsecrets++] = (struct pipe_secret){ .name = name->text, .at = name };
  s->input[s->ninput++] = (struct pipe_part){ .secret = name->text };
}

static void add_part(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names)
{
  const struct yml_node *name = n->kind == YML_MAP && n->n == 1 ? yml_get(n, "secret") : NULL;

  if (n->kind == YML_SCALAR && !yml_is_null(n) && strlen(n->text) <= SCHEMA_SCRIPT_MAX)
    s->input[s->ninput++] = (struct pipe_part){ .text = n->text, .made = pipe_text(&m->w->exprs, names, n, m->d) };
  else if (n->kind == YML_SCALAR && !yml_is_null(n))
    yml_error(m->d, n, "make a list of several", "a text of more than %u KiB", SCHEMA_SCRIPT_MAX >> 10);
  else if (name && name->kind == YML_SCALAR && !yml_is_null(name) && str_is_name(name->text, strlen(name->text)))
    add_secret(m, s, name);
  else
    yml_error(m->d, n, help, "\"stdin\" wants texts and secrets");
}

static bool is_open(const struct yml_node *n)
{
  const struct yml_node *open = n->kind == YML_MAP && n->n == 1 ? yml_get(n, "open") : NULL;

  return open && open->kind == YML_SCALAR && !strcmp(open->text, "true");
}

/* The secrets that it has already, with room for more. */
static void widen(struct maker *m, struct pipe_step *s, int more)
{
  struct pipe_secret *v = pipe_take(m->w, (size_t)(s->nsecrets + more), sizeof *v);

  if (s->nsecrets)
    memcpy(v, s->secrets, (size_t)s->nsecrets * sizeof *v);
  s->secrets = v;
}

static void take_stdin(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names)
{
  int parts = n->kind == YML_LIST ? n->n : 1;
  size_t bytes = 0;

  if (is_open(n)) {
    s->input_open = true;
    return;
  }
  if (!parts || parts > PIPELINE_INPUT_MAX) {
    yml_error(m->d, n, parts ? NULL : help, parts ? "a \"stdin\" of more than %d parts" : "a \"stdin\" without a part", PIPELINE_INPUT_MAX);
    return;
  }
  s->input = pipe_take(m->w, (size_t)parts, sizeof *s->input);
  widen(m, s, parts);
  for (int i = 0; i < parts; i++)
    add_part(m, s, n->kind == YML_LIST ? n->items[i] : n, names);
  for (int i = 0; i < s->ninput; i++)
    bytes += s->input[i].text ? strlen(s->input[i].text) : 0;
  if (bytes > PIPELINE_INPUT_BYTES_MAX)
    yml_error(m->d, n, "let the command read a file", "a \"stdin\" of more than %u KiB", PIPELINE_INPUT_BYTES_MAX >> 10);
}

void pipe_take_input(struct maker *m, struct pipe_step *s, const struct yml_node *step, const struct expr_name *names)
{
  const struct yml_node *in = yml_get(step, "stdin"), *pty = yml_get(step, "pty");

  if (in && !(in->kind == YML_SCALAR && yml_is_null(in))) /* told before */
    take_stdin(m, s, in, names);
  if (pty && pty->kind == YML_SCALAR && !strcmp(pty->text, "true")) {
    s->pty_cols = PTY_COLS;
    s->pty_rows = PTY_ROWS;
  } else if (pty && pty->kind == YML_SCALAR && !schema_pty(pty->text, &s->pty_cols, &s->pty_rows)) {
    s->pty_cols = 0; /* false, or told before */
  }
}
