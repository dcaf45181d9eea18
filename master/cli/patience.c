/* Waiting for a master or a database that went away. */
#include "master/cli/patience.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "master/cli/call.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_MOST_MS 1000

bool patience_wait(struct patience *p, struct cli *c, const char *why)
{
  int64_t now = clock_mono_ms();
  char text[FMT_MAX];

  if (!p->since_ms) {
    p->since_ms = now;
    p->pause_ms = PAUSE_FIRST_MS;
  }
  if (now - p->since_ms >= c->retry_ms) {
    cli_error(c, CLI_AWAY, "%s; given up after %s", why, fmt_duration(now - p->since_ms, text));
    cli_hint("builds go on without anybody who follows them");
    return false;
  }
  if (now - p->since_ms >= p->quiet_ms && (!c->told_ms || now - c->told_ms > c->retry_ms)) {
    cli_error(c, CLI_OK, "%s; trying again for %s", why, fmt_duration(c->retry_ms, text));
    c->told_ms = now;
  }
  nanosleep(&(struct timespec){ p->pause_ms / 1000, p->pause_ms % 1000 * 1000000 }, NULL);
  if (p->pause_ms < PAUSE_MOST_MS)
    p->pause_ms *= 2;
  return true;
}

void patience_progress(struct patience *p)
{
  memset(p, 0, sizeof *p);
}

cJSON *patience_get(struct cli *c, const char *path)
{
  struct patience p = { 0 };
  cJSON *answer;

  for (;;) {
    switch (call_try(c, "GET", path, NULL, &answer)) {
    case CALL_OK:
      return answer ? answer : cJSON_CreateObject();
    case CALL_ERROR:
      call_report(c);
      return NULL;
    case CALL_AWAY:
      if (!patience_wait(&p, c, call_why(c)))
        return NULL;
    }
  }
}
