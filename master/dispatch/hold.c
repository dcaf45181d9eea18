/* Who sends input. */
#include "master/dispatch/hold.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/str.h"

bool hold_is_sender(const char *text)
{
  size_t n = strlen(text);

  return n && n <= HOLD_SENDER_MAX && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == n;
}

/* Somebody other than who asks has it. */
static bool is_anothers(const struct hold *h, const struct hold_ask *a, int64_t mono_ms)
{
  return *h->sender && !(a->sender && !strcmp(a->sender, h->sender)) && (h->waiting || mono_ms - h->heard_ms <= HOLD_SILENT_MS);
}

char *hold_refused(const struct hold *h, const struct hold_ask *a, int64_t mono_ms)
{
  char since[32] = "a while ago";
  time_t t = (time_t)(h->since_ms / 1000);
  struct tm tm;

  if (!is_anothers(h, a, mono_ms) || a->leave || (a->sender ? a->take : !a->sends))
    return NULL;
  if (gmtime_r(&t, &tm))
    strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &tm);
  return xasprintf("%s since %s", h->who, since);
}

bool hold_asked(struct hold *h, const struct hold_ask *a, int64_t mono_ms, int64_t wall_ms)
{
  bool mine = a->sender && !strcmp(a->sender, h->sender);

  if (!a->sender || (a->leave && !mine))
    return false;
  if (a->leave) {
    memset(h, 0, sizeof *h);
    return false;
  }
  h->heard_ms = mono_ms;
  if (mine)
    return false;
  snprintf(h->sender, sizeof h->sender, "%s", a->sender);
  snprintf(h->who, sizeof h->who, "%s", a->who);
  h->since_ms = wall_ms;
  h->waiting = 0;
  return true;
}
