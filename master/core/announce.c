/* READY counts as said once it was said first; after a reload it is said again, as the protocol wants it. */
#include "master/core/announce.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/notify.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"

enum { START_MORE_S = 90, WHY_MAX = 200 };

static bool ready;

/* A message is lines: what comes from elsewhere is cut to one. */
static char *one_line(const char *text)
{
  char *line = xasprintf("%.*s", WHY_MAX, text);

  for (char *s = line; *s; s++)
    if ((unsigned char)*s < ' ')
      *s = ' ';
  return line;
}

static char *status_of(const struct master *m)
{
  char *why = m->db_why ? one_line(m->db_why) : NULL, *text;

  text = why ? xasprintf("the database is away: %s", why)
             : xasprintf("configuration %" PRId64 ": %d projects, %d workers", m->config_version, m->conf->nprojects, m->conf->nworkers);
  free(why);
  return text;
}

static void say(const struct master *m, bool again)
{
  char *status = status_of(m);

  if (m->stopping)
    notify_send("STATUS=stopping");
  else
    notify_send("%sSTATUS=%s", ready && !again ? "" : "READY=1\n", status);
  ready = true;
  free(status);
}

void announce_starting(const char *what)
{
  char *line = one_line(what);

  notify_send("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d000000", line, START_MORE_S);
  free(line);
}

void announce_state(const struct master *m)
{
  say(m, false);
}

void announce_reloading(void)
{
  notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reading the configuration", clock_mono_us());
}

void announce_reloaded(const struct master *m)
{
  say(m, true);
}

void announce_stopping(const char *why)
{
  char *line = one_line(why);

  notify_send("STOPPING=1\nSTATUS=stopping: %s", line);
  free(line);
}
