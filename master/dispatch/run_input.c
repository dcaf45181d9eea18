/* Standard input and terminals of commands. */
#include "master/dispatch/run_input.h"

#include "master/workers/session.h"

static bool wants(const struct pipe_step *def)
{
  bool secret = false;

  for (int i = 0; i < def->ninput; i++)
    secret = secret || !def->input[i].text;
  return def->input_open || def->pty_cols || def->ninput > 1 || secret; /* a text alone is what any worker takes */
}

char *run_input_refused(const struct run *r, const struct pipe_step *def)
{
  if (!wants(def) || session_has(r->session, SESSION_INPUT))
    return NULL;
  return xasprintf("it wants %s, and the drover-worker on %s is too old for that: upgrade it", def->pty_cols ? "a terminal" : "more than a text as its input", r->session->name);
}
