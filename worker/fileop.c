/* The child of a file operation: which function does it, its end as a tag, and the small operations themselves. */
#include "worker/fileop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/slot.h"
#include "worker/usage.h"

static const struct {
  int number;
  const char *tag, *text; /* NULL: what libc says */
} tags[] = {
  { ENOENT, "notfound", NULL },    { EEXIST, "exists", NULL },    { EACCES, "denied", NULL },     { EPERM, "denied", NULL },
  { ENOSPC, "nospace", NULL },     { EDQUOT, "nospace", NULL },   { ENAMETOOLONG, "toolong", NULL }, { EBUSY, "busy", NULL },
  { ENOTDIR, "notdir", NULL },     { EISDIR, "isdir", NULL },     { ELOOP, "outside", NULL },
  { EUSERS, "busy", NULL },
  { EXDEV, "outside", "a link leads out of the work folder" },    { EINVAL, "badarg", "that is the work folder itself" },
};

/* ---- answering ---- */

static char frame[FRAME_HEAD + FRAME_MAX];

static int write_all(int fd, const char *p, size_t n)
{
  while (n) {
    ssize_t done = write(fd, p, n);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      _exit(1); /* the agent has forgotten us */
    p += done;
    n -= (size_t)done;
  }
  return 0;
}

static int put_frame(struct fileop *op, char kind, size_t n)
{
  uint32_t len = (uint32_t)n;

  frame[0] = kind;
  memcpy(frame + 1, &len, sizeof len);
  return write_all(op->to, frame, FRAME_HEAD + n);
}

char *fileop_room(void) { return frame + FRAME_HEAD; }

int fileop_data(struct fileop *op, const void *p, size_t n)
{
  if (p != fileop_room())
    memcpy(fileop_room(), p, n);
  return n ? put_frame(op, FRAME_DATA, n) : 0;
}

int fileop_fail(struct fileop *op, const char *tag, const char *text)
{
  op->tag = tag;
  op->text = text;
  return -1;
}

static void put_end(struct fileop *op, const char *tag, const char *p, size_t n)
{
  size_t t = strlen(tag) + 1;

  memcpy(fileop_room(), tag, t);
  memcpy(fileop_room() + t, p, n);
  put_frame(op, FRAME_END, t + n);
}

static void put_failure(struct fileop *op, int number)
{
  const char *tag = op->tag ? op->tag : "io", *text = op->text;

  for (size_t i = 0; !op->tag && i < COUNT(tags); i++)
    if (tags[i].number == number) {
      tag = tags[i].tag;
      text = tags[i].text;
    }
  text = text ? text : slot_text(number);
  text = text ? text : strerror(number);
  put_end(op, tag, text, strlen(text));
}

/* ---- the operations that need no file of their own ---- */

static const char *type_name(mode_t mode)
{
  return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "dir" : S_ISLNK(mode) ? "link" : "other";
}

void fileop_put_stat(struct buf *out, const struct stat *st)
{
  records_put(out, "type", type_name(st->st_mode));
  records_putf(out, "size", "%lld", (long long)st->st_size);
  records_putf(out, "mode", "%o", (unsigned)st->st_mode & 07777u);
  records_putf(out, "mtime", "%lld", (long long)(st->st_mtime > 0 ? st->st_mtime : 0));
}

static int do_stat(struct fileop *op)
{
  struct stat st;
  char leaf[256] = ".";
  int dir = beneath_is_top(op->path) ? os_folder_beneath(op->work, ".") : beneath_parent(op->work, op->path, leaf);

  if (dir < 0 || fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW))
    return -1;
  fileop_put_stat(&op->out, &st);
  return 0;
}

static int do_usage(struct fileop *op)
{
  struct usage u;
  int dir = beneath_open(op->work, op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

  if (dir < 0)
    return -1;
  os_yield();
  usage_measure(dir, &u);
  records_putf(&op->out, "bytes", "%lld", (long long)u.bytes);
  records_putf(&op->out, "entries", "%lld", (long long)u.entries);
  records_put(&op->out, "complete", u.complete ? "1" : "0");
  return 0;
}

static int do_mkdir(struct fileop *op) { return beneath_mkdirs(op->work, op->path); }
static int do_remove(struct fileop *op) { return beneath_remove(op->work, op->path); }
static int do_disk(struct fileop *op) { return os_disk(op->work, &op->out); }

/* ---- which ---- */

static const struct {
  int (*run)(struct fileop *op);
  const char *keys;  /* of its records, each with a blank behind; NULL: the blob is the path */
  int64_t most;      /* of the first number; 0: there is none, or any will do */
} ops[VERB_COUNT] = {
  [VERB_stat] = { do_stat, NULL, 0 },     [VERB_mkdir] = { do_mkdir, NULL, 0 }, [VERB_remove] = { do_remove, NULL, 0 },
  [VERB_usage] = { do_usage, NULL, 0 },   [VERB_disk] = { do_disk, NULL, 0 },
  [VERB_list] = { fileop_list, "path after ", WIRE_LIST_MAX }, [VERB_get] = { fileop_get, "path version ", 0 },
  [VERB_put] = { fileop_put, "path size mode sum ", 0 },  [VERB_rename] = { fileop_rename, "path to replace ", 0 }, [VERB_copy] = { fileop_copy, "path to ", 0 },
  [VERB_glob] = { fileop_glob, "path pattern after ", WIRE_LIST_MAX },
  [VERB_facts] = { fileop_facts, "search isolation cgroup tool ", 0 },
  [VERB_puttree] = { fileop_puttree, "path ", 0 },        [VERB_gettree] = { fileop_gettree, "path after ", WIRE_TREE_MAX },
};

static bool knows(const char *keys, const char *key)
{
  size_t n = strlen(key);

  for (const char *p = strstr(keys, key); p; p = strstr(p + 1, key))
    if ((p == keys || p[-1] == ' ') && p[n] == ' ')
      return true;
  return false;
}

enum err fileop_check(enum verb v, int64_t a, int64_t b, const char *blob, size_t n, const char **path, const char **why)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  int64_t head = v == VERB_put ? b : v == VERB_puttree ? a : (int64_t)n; /* bytes follow the records of these */
  size_t at = 0;
  enum err e = ERR_NOTFOUND;

  *why = "that is not well-formed";
  if ((uint64_t)head > n)
    return ERR_BADARG;
  n = (size_t)head;
  *path = v == VERB_facts ? "." : ops[v].keys ? NULL : blob;
  while (ops[v].keys && (e = records_next(blob, n, &at, key, &value)) == ERR_OK) {
    if (!knows(ops[v].keys, key)) {
      *why = "a record that this operation does not know";
      return ERR_BADARG;
    }
    if (!strcmp(key, "path"))
      *path = value;
  }
  if (e != ERR_NOTFOUND)
    return ERR_BADARG;
  *why = "the path is not one below the work folder";
  if (!*path || (!ops[v].keys && memchr(blob, 0, n)) || !beneath_valid(*path))
    return *path && strlen(*path) >= BENEATH_PATH_MAX ? ERR_TOOBIG : ERR_BADARG;
  *why = "a number is out of its range";
  return ops[v].most && (a < 1 || a > ops[v].most) ? ERR_BADARG : ERR_OK;
}

/* The user of the place. */
static bool become(const struct fileop *op)
{
  const char *to = op->verb == VERB_rename || op->verb == VERB_copy ? records_get(op->blob, op->n, "to") : NULL;

  if (!op->confine || op->verb == VERB_facts)
    return true;
  return slot_enter(op->confine, op->work, op->verb, op->path, to) && (os_end_with(op->agent) /* forgotten with the user that it was */ || (errno = ECHILD, false));
}

int fileop_main(struct fileop *op)
{
  buf_init(&op->out, FILEOP_ANSWER_MAX);
  if (!become(op))
    put_failure(op, errno);
  else if (ops[op->verb].run(op))
    put_failure(op, errno);
  else if (op->out.failed)
    put_failure(op, E2BIG);
  else
    put_end(op, "ok", buf_str(&op->out), op->out.len);
  return 0;
}
