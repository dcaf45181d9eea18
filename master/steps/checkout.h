/* What the checkouts share: all of it those by svn and hg, failures also git's. */
#ifndef MASTER_STEPS_CHECKOUT_H
#define MASTER_STEPS_CHECKOUT_H
#include "master/steps/step.h"

/* What is checked out: of the build's one repository, or of the codebase that the step is about. Borrowed from the build. */
struct source {
  enum vcs vcs;
  const char *url, *branch, *revision, *ref, *patch, *got; /* as in build_ctx */
  struct step_login login;
};
struct source checkout_source(const struct step *s);
/* Which of the build's codebases the step is about; false: it has no such, and the step has failed. */
bool checkout_find(struct step *s) must_check;
/* Whether what is to be checked out may be said to svn or hg; false: the step has failed, its sentence says why. */
bool checkout_is_safe(struct step *s) must_check;
/* Its folder; what: within it, or "". out: STEP_PATH_MAX. */
void checkout_place(const struct step *s, const char *what, char *out);
/* The builder's checkouts made another tree of it before, with other folders, say. */
bool checkout_other_layout(const struct step *s);
void checkout_fail(struct step *s, enum result result, const char *fmt, ...) printf_like(3, 4);
/* An operation on the tree was refused: the step has failed. what: "look at". Returns fail_state. */
int checkout_cant(struct step *s, const struct reply *r, const char *what, int fail_state) must_check;
/* A command in its folder, its argv ends with NULL. False: *out is the step's end. */
bool checkout_put(const struct step *s, struct intent *out, const char *const *argv);
/* A command failed: the state that throws its folder away, once; a second failure is the repository's, not the tree's. */
int checkout_again(struct step *s, const struct reply *r, int remove_state, int fail_state) must_check;
/* Whether a command failed because the server, or what is pinned of it, refused the login; then the step has failed, its sentence says so. */
bool checkout_refused(struct step *s, const struct reply *r) must_check;
/* As checkout_put, of a command that asks the server: program's first words, then its options for the login, then argv. */
bool checkout_ask(const struct step *s, struct intent *out, const char *const *program, const char *const *argv) must_check;
void checkout_end(const struct step *s, struct intent *out, bool good);
/* stat of name in its folder, or removal of the folder. */
void checkout_op(const struct step *s, struct intent *out, enum verb op, const char *name);
void checkout_wipe(const struct step *s, struct intent *out);       /* removal of the whole tree, whatever others made there */
void checkout_take(struct step *s, const char *revision, size_t n); /* it is what is checked out */
#endif
