/* Who this worker is. The file is replaced as a whole; the highest id is noted beside it without fsync, once per command. */
#include "worker/ident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/scan.h"
#include "proto/wire.h"
#include "worker/small.h"

enum { TEXT_MAX = 512, INSTANCE_BYTES = 16, HIGH_LEN = 2 * 19 + 2 };

static enum err parse(struct ident *i, const char *text)
{
  char high[STR_ID_MAX];
  long long conn, incarnation;
  int version;

  if (scan(text, "drover-worker %d\ninstance %32s\nconn %lld\nincarnation %lld\nhigh %47s\n", &version, i->instance,
             &conn, &incarnation, high) != 5 || version != 1 || strlen(i->instance) != IDENT_INSTANCE_LEN || !wire_is_token(i->instance, IDENT_INSTANCE_LEN) || conn < 0 ||
      incarnation < 0 || str_id(high, strlen(high), &i->high))
    return ERR_CORRUPT;
  i->conn = conn;
  i->incarnation = incarnation;
  return ERR_OK;
}

static void load_high(struct ident *i)
{
  char text[TEXT_MAX];
  struct id high;

  if (small_read(i->dir, "high", text, sizeof text))
    return;
  text[strcspn(text, " \n")] = 0;
  if (!str_id(text, strlen(text), &high) && str_id_cmp(high, i->high) > 0)
    i->high = high;
}

enum err ident_load(struct ident *i, int dir, const char **why)
{
  unsigned char random[INSTANCE_BYTES];
  char text[TEXT_MAX];
  enum err e;

  memset(i, 0, sizeof *i);
  i->dir = dir;
  *why = "ident can't be read";
  e = small_read(dir, "ident", text, sizeof text);
  if (!e)
    e = parse(i, text);
  if (e == ERR_NOTFOUND) {
    str_random(random, sizeof random);
    str_hex(random, sizeof random, i->instance);
    *why = "ident can't be written";
    e = ident_save(i);
  }
  if (e)
    return e;
  load_high(i);
  *why = "high can't be opened";
  i->high_fd = openat(dir, "high", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  return i->high_fd < 0 ? ERR_IO : ERR_OK;
}

enum err ident_save(struct ident *i)
{
  char text[TEXT_MAX], high[STR_ID_MAX];
  int n = snprintf(text, sizeof text, "drover-worker 1\ninstance %s\nconn %lld\nincarnation %lld\nhigh %s\n", i->instance,
                   (long long)i->conn, (long long)i->incarnation, str_id_text(i->high, high));

  return small_replace(i->dir, "ident", "ident.tmp", text, (size_t)n);
}

void ident_note(struct ident *i, struct id cmd)
{
  char text[HIGH_LEN + STR_ID_MAX], id[STR_ID_MAX];

  if (str_id_cmp(cmd, i->high) <= 0)
    return;
  i->high = cmd;
  snprintf(text, sizeof text, "%-*s\n", HIGH_LEN, str_id_text(cmd, id));
  if (pwrite(i->high_fd, text, HIGH_LEN + 1, 0) < 0) /* the id is in the spool and, from the next greeting on, in ident */
    errno = 0;
}
