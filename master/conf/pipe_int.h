/* Between the files that make a pipeline from a tree: pipeline.c (builders, the whole), pipe_matrix.c (combinations), pipe_step.c (steps, their names), pipe_template.c (templates, what
   they are given), pipe_needs.c (which of them come before), pipe_secret.c (secrets of steps), pipe_result.c (what their ends mean), pipe_want.c (what a worker must have),
   pipe_trigger.c (what steps trigger), pipe_checkout.c (what is checked out, and where to),
   pipe_sched.c (schedulers), pipe_follow.c (how far a change goes). */
#ifndef MASTER_CONF_PIPE_INT_H
#define MASTER_CONF_PIPE_INT_H
#include "master/conf/pipe_expr.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"

struct map;

struct block {
  struct block *next;
};

/* A text that builders of the pipeline are from. */
struct pipe_layer {
  struct yml_doc *doc;        /* held */
  const struct yml_node *top; /* the map in it that has them */
  const char *reporter;       /* NULL: the pipeline's own */
};

struct whole {
  struct pipeline p; /* first: what is handed out */
  struct pipe_layer *layers; /* the pipeline's own, then what was reported on top of it */
  int nlayers;
  enum schema_group group;   /* of the first one's top */
  char *project;
  struct block *blocks;
  struct pipe_exprs exprs;
};

struct maker {
  struct whole *w;
  struct diags *d;
  const char *project;
  struct map *builders;  /* name → struct pipe_builder */
  struct map *templates; /* name → struct template */
  const struct yml_node *named_templates; /* the map of them; or NULL */
  char **all;            /* names of all builders; shared by all schedulers that want all */
  struct pipe_builder *made; /* so far */
  const struct pipe_layer *layer; /* that is being read */
  int below;             /* builders of the layers before it */
  int nmade, cap;
  struct block *scratch;
  int steps, nodes, needs, triggers; /* so far, against the limits */
  size_t bytes;
  bool incomplete;       /* builders are missing: a matrix is wrong, or they are too many */
  bool full;             /* that was told */
  bool dry;              /* a template that nobody uses is looked at: its parameters have types, no values */
};

/* Zeroed memory that lives until the builder at hand is made: what its expressions may name. */
void *pipe_scratch(struct maker *m, size_t count, size_t size) must_check;
void pipe_drop_scratch(struct maker *m);
/* Zeroed memory that lives as long as the pipeline. */
void *pipe_take(struct whole *w, size_t count, size_t size) must_check;
char *pipe_copy(struct whole *w, const char *s) must_check;
/* One string or a list of them, as a NULL-ended array; NULL where n is. */
char **pipe_strings(struct whole *w, const struct yml_node *n, int *count) must_check;
/* What is missing in a map may be what a key that nobody knows was meant for; the check told of that one. */
bool pipe_strange_key(const struct yml_node *map, enum schema_group group) must_check;
/* Each tree that is looked at once more, for a combination or a use, is paid for. False: enough (told). */
bool pipe_spend(struct maker *m, const struct yml_node *n) must_check;
/* The nearest of n names, each at v + i * size; NULL: none is near. help: `did you mean "…"?`, the caller frees it. */
char *pipe_did_you_mean(const char *name, const char *const *v, int n) must_check;
/* Letters, digits and underscores, first no digit: what may be a variable and a name in expressions. */
bool pipe_is_word(const char *s) must_check;

/* A whole number, also one below zero. */
bool pipe_is_number(const char *s, int64_t *v) must_check;

/* ---- pipe_step.c ---- */

/* What steps inherit. */
struct inherit {
  struct env_var *env;
  int nenv;
  const char *cwd;
  int64_t total_ms, idle_ms;
  struct output_limit output;
  int on_lost;
  bool bash;
  struct pipe_words tags;
  struct pipe_want want;
  struct pipe_source cwd_from, total_from, idle_from, output_from, lost_from;
};
void pipe_inherit(struct maker *m, struct inherit *h, const struct yml_node *map, enum schema_group group, enum pipe_origin of, const struct expr_name *names);
/* Adds a variable, or replaces the one of its name. text: its expressions, or NULL. */
void pipe_inherit_var(struct maker *m, struct inherit *h, const struct env_var *v, int n, const struct yml_node *at);
/* From list to b's steps: templates written out, checkouts where they belong, all named. at: the builder (a map), or the list alone. */
void pipe_make_steps(struct maker *m, struct pipe_builder *b, const struct yml_node *at, const struct yml_node *list, const struct inherit *h, const struct expr_name *names);

/* ---- pipe_want.c ---- */

/* map: `worker`, or NULL. */
void pipe_inherit_want(struct maker *m, struct inherit *h, const struct yml_node *map, enum pipe_origin of, const struct expr_name *names);
/* What a worker must have for this builder, from what it inherited. */
void pipe_make_want(struct maker *m, struct pipe_builder *b, const struct inherit *h);

/* ---- pipe_matrix.c ---- */

struct matrix {
  int naxes;
  const struct yml_node *axis[PIPELINE_AXES_MAX];
  enum expr_type type[PIPELINE_AXES_MAX]; /* of all its values */
  const struct yml_node *v[PIPELINE_COMBINATIONS_MAX][PIPELINE_AXES_MAX];
  int n;                                  /* combinations */
};
/* From `matrix` to its combinations. False: told. */
bool pipe_matrix(struct maker *m, const struct yml_node *n, struct matrix *out) must_check;
/* The builder of one combination: its name, its axes. False: told. */
bool pipe_combine(struct maker *m, struct pipe_builder *b, const struct yml_node *key, const struct matrix *x, int i) must_check;
/* What its expressions may name. */
const struct expr_name *pipe_matrix_names(struct maker *m, const struct matrix *x, int i) must_check;

/* ---- pipe_secret.c ---- */

/* `secrets` of a step, after its environment is known. map: NULL, or not one (told before): none. */
void pipe_take_secrets(struct maker *m, struct pipe_step *s, const struct yml_node *map);

/* ---- pipe_input.c ---- */

/* `stdin` and `pty` of a step, after its secrets. */
void pipe_take_input(struct maker *m, struct pipe_step *s, const struct yml_node *step, const struct expr_name *names);

/* ---- pipe_log.c ---- */

/* `logs` of a step. map: NULL, or not one (told before): none. */
void pipe_take_logs(struct maker *m, struct pipe_step *s, const struct yml_node *map);

/* ---- pipe_result.c ---- */

/* What the step's end means, as the step n says: flags, exit statuses, tries, warnings, whether it is shown. */
void pipe_take_results(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names);
/* `on_lost` of defaults, a builder or a step, where it stands there. */
void pipe_inherit_lost(struct inherit *h, const struct yml_node *map, enum schema_group group, enum pipe_origin of);

/* ---- pipe_trigger.c ---- */

/* `trigger` of a step: the names as they stand. */
void pipe_read_trigger(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names);
/* After builders and schedulers: whom these names mean; none is asked for by what it asks for, over however many others. */
void pipe_join_triggers(struct maker *m);

/* ---- pipe_lock.c ---- */

/* `locks` of a step (b NULL), after its environment and secrets are known, or of a builder, after its steps are. map: NULL, or not one (told before): none. */
void pipe_take_locks(struct maker *m, struct pipe_builder *b, struct pipe_step *s, const struct yml_node *map);
/* What drover gives to every command itself. */
bool pipe_var_is_ours(const char *name);

/* ---- pipe_checkout.c ---- */

struct flat;
bool pipe_is_checkout(const struct yml_node *step) must_check;
/* In f each step that is a checkout becomes one for each of its codebases, parents before what lies in them; what the builder (NULL: a list of steps) says itself is put where a step says
   `checkout` and no more, else at the start: an item without a node. */
void pipe_put_checkouts(struct maker *m, const struct yml_node *builder, struct flat *f, const struct expr_name *names);
/* After its steps are made: what each leaves alone, the layout, the builder's codebases. */
void pipe_join_checkouts(struct maker *m, struct pipe_builder *b);

/* ---- pipe_template.c ---- */

struct template;
/* A step as it stands in the file, and what its expressions may name. */
struct flat_step {
  const struct yml_node *n;
  const struct expr_name *names;
  const struct pipe_use *use;
  struct template *of; /* NULL: none */
  const struct pipe_checkout *checkout; /* that it is, or one of those that it is; NULL: none, or not read yet */
};
struct flat {
  struct flat_step *v; /* freed by whoever has it */
  int n, cap;
};
void pipe_read_templates(struct maker *m, const struct yml_node *named);
/* The steps of list, each use of a template written out. */
void pipe_flat_add(struct flat *f, const struct flat_step *step);
void pipe_flatten(struct maker *m, const struct yml_node *list, const struct expr_name *names, struct flat *out);
/* Its steps are wrong: told once, not for each use. */
void pipe_template_bad(struct template *t);
/* Templates that nobody uses: what is wrong in them by itself. */
void pipe_check_unused(struct maker *m);

/* The text of a key, made now where it has expressions. NULL: told, or not known in a template that nobody uses. */
char *pipe_made_text(struct maker *m, const struct yml_node *n, enum schema_group group, const char *key, const struct expr_name *names) must_check;

/* ---- pipe_needs.c ---- */

/* `needs` of a builder, or NULL: the names as they stand, without builders. */
void pipe_read_needs(struct maker *m, struct pipe_builder *b, const struct yml_node *n, const struct expr_name *names);
/* After the builders (m->builders is there): whom these names mean; none waits for itself, over however many others. */
void pipe_join_needs(struct maker *m);
/* There is no builder of that name, which was made from n. */
void pipe_unknown_builder(struct maker *m, const struct yml_node *n, const char *name);

/* The builders that the scalar n names, behind the others of names; seen: names of builders. What is wrong is told. */
void pipe_add_builders(struct maker *m, char **names, int *count, const struct yml_node *n, struct map *seen);
/* ---- pipe_follow.c ---- */

/* `from` and `until` of the scheduler n, once what sets it off is known. */
void pipe_want_changed(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n);

/* After the builders: m->builders and m->all are there. named: the map of schedulers, or NULL. */
void pipe_make_schedulers(struct maker *m, const struct yml_node *named);
/* One step, its name aside. */
void pipe_make_step(struct maker *m, struct pipe_step *s, const struct flat_step *f, struct inherit h);
/* parameters of `force`: the map, or NULL. */
void pipe_make_params(struct maker *m, struct pipe_scheduler *s, const struct yml_node *named);
#endif
