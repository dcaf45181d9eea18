/* How the worker stands with its master. The file is replaced as a whole, without fsync: after the host's next start it is of no use anyway. */
#include "worker/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"
#include "worker/small.h"

#define NAME "status"
#define NAME_NEW "status.tmp"

enum { TEXT_MAX = 1536 };

static void tell_manager(const struct status *s)
{
  if (s->connected)
    notify_send("STATUS=connected to %s as %s", s->address, s->name);
  else if (s->note.count)
    notify_send("STATUS=waiting for %s: %s", s->address, s->note.why);
  else
    notify_send("STATUS=connecting to %s", s->address);
}

void status_tell(int dir, const struct status *s)
{
  static char last[TEXT_MAX];
  char text[TEXT_MAX];
  int fd, n = snprintf(text, sizeof text, "state %s\naddress %s\nname %s\nkey %s\nisolation %s\ntries %u\ntag %s\nwhy %s\n", s->connected ? "connected" : "waiting",
                       s->address, s->name, s->key, s->isolation, s->note.count, s->note.tag, s->note.why);

  if (n < 0 || (size_t)n >= sizeof text || !strcmp(text, last))
    return;
  memcpy(last, text, (size_t)n + 1);
  tell_manager(s);
  fd = openat(dir, NAME_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0 || write(fd, text, (size_t)n) != n || renameat(dir, NAME_NEW, dir, NAME))
    log_debug("worker", "status can't be written: %s", strerror(errno));
  if (fd >= 0)
    close(fd);
}

static void take(struct status *s, const char *key, const char *value)
{
  const struct {
    const char *key;
    char *to;
    size_t room;
  } texts[] = { { "address", s->address, sizeof s->address }, { "name", s->name, sizeof s->name }, { "key", s->key, sizeof s->key }, { "isolation", s->isolation, sizeof s->isolation },
                { "tag", s->note.tag, sizeof s->note.tag },   { "why", s->note.why, sizeof s->note.why } };

  if (!strcmp(key, "state"))
    s->connected = !strcmp(value, "connected");
  if (!strcmp(key, "tries"))
    s->note.count = (unsigned)strtoul(value, NULL, 10);
  for (size_t i = 0; i < COUNT(texts); i++)
    if (!strcmp(key, texts[i].key))
      snprintf(texts[i].to, texts[i].room, "%s", value);
}

enum err status_read(int dir, struct status *s)
{
  char text[TEXT_MAX], *line, *next, *value;
  enum err e = small_read(dir, NAME, text, sizeof text);

  memset(s, 0, sizeof *s);
  if (e)
    return e;
  for (char *p = text; *p; p++)
    if ((unsigned char)*p < ' ' && *p != '\n')
      *p = '?'; /* it is shown on terminals, and whoever runs builds here could write it */
  for (line = text; *line; line = next) {
    next = strchr(line, '\n');
    if (!next)
      return ERR_SYNTAX;
    *next++ = 0;
    value = strchr(line, ' ');
    if (!value)
      return ERR_SYNTAX;
    *value++ = 0;
    take(s, line, value);
  }
  return ERR_OK;
}
