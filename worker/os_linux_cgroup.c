/* Control groups, by Linux.

   Happy path: find where the agent's own group is mounted → make one in it → limits: hand their controllers on to the groups → for each command: make, enter, and at its end kill and remove.
   Failures: no cgroup2, no right to make groups, a kernel without cgroup.kill (before 5.14), controllers that are not ours to hand on: what is left is used, and told.
   Groups lie side by side in the agent's, or above it where that is OWN: the kernel hands controllers on only where no process is beside the groups. A service manager starts the next agent in the unit's own group, where it
   could not start it while commands with such groups live on; so a controller is handed on in a unit only where the manager has put the agent into OWN (DelegateSubgroup, systemd 254). */
#include "worker/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/notify.h"
#include "common/scan.h"
#include "common/str.h"
#include "worker/conf.h"
#include "worker/os.h"
#include "worker/small.h"

#define OWN "drover-agent"
#define TRIED "try"
#define HAND_ON "cgroup.subtree_control"

enum { TABLE_MAX = 4 << 20, EVENTS_MAX = 4096, TEXT_MAX = 64, INSTANCE_USED = 16, SWEEP_MS = 20, SWEEPS_MAX = 500, WORD = 8 };

static const struct {
  char hand_on[WORD + 1], file[11], behind[11];
} files[CONFINE_RULES] = { { " +memory", "memory.max", "" }, { " +pids  ", "pids.max", "" }, { " +cpu   ", "cpu.max", "000 100000" /* of so many us; 1 per cent is 1000 of them */ } };

/* ---- where ---- */

static char *table(const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char *text = conf_slurp(fd, TABLE_MAX); /* NULL without a file, too */

  close(fd);
  return text;
}

/* The folder of the group that this process is in. */
static bool own_folder(char out[PATH_MAX])
{
  char *groups = table("/proc/self/cgroup"), *mounts = table("/proc/self/mountinfo"), *own = groups, *at = mounts;
  char root[PATH_MAX], place[PATH_MAX];
  bool found = false;

  while (own && !str_starts(own, "0::/")) /* the others are version 1's */
    own = (own = strchr(own, '\n')) ? own + 1 : NULL;
  if (own)
    own[strcspn(own, "\n")] = 0;
  while (own && !found && at && *at && (at = strstr(at + 1, " - cgroup2 "))) {
    char *line = at;
    size_t n;
    while (line > mounts && line[-1] != '\n')
      line--;
    if (scan(line, "%*d %*d %*32s %4095s %4095s", root, place) != 2)
      continue;
    n = root[1] ? strlen(root) : 0; /* what of the hierarchy is to be seen there */
    if (!strncmp(own + 3, root, n) && (own[3 + n] == '/' || !own[3 + n]))
      found = snprintf(out, PATH_MAX, "%s%s", place, own + 3 + n) < PATH_MAX;
  }
  free(groups);
  free(mounts);
  return found;
}

/* ---- what can be had ---- */

/* The controllers of all limits that worker.conf asks for, or none. above: the folder of all groups; apart: the agent is in OWN. 0 or errno. */
static int hand_on(struct confine *c, int above, bool apart)
{
  unsigned asked = confine_asked(c);
  char which[CONFINE_RULES * WORD + 1] = "", *at = which;
  bool done;

  for (unsigned i = 0; i < CONFINE_RULES; i++)
    if (asked >> i & 1)
      at = (char *)memcpy(at, files[i].hand_on, WORD) + WORD;
  done = !asked || small_put(above, HAND_ON, which);
  if (!done && errno == EBUSY && !apart && !notify_socket()) { /* we are in the way ourselves */
    mkdirat(above, OWN, 0755);
    done = small_put(above, OWN "/cgroup.procs", "0") && small_put(above, HAND_ON, which);
  }
  c->ruled |= done ? asked : 0;
  return done ? 0 : errno;
}

int cgroup_find(struct confine *c, const char *instance, int state)
{
  char path[PATH_MAX], *own;
  struct stat st;
  int above, group, e;

  if (c->no_groups)
    return 0;
  if (!own_folder(path) || fstat(state, &st))
    return ENOENT;
  own = strrchr(path, '/');
  if (!own[1] || !strcmp(own + 1, OWN))
    *own = 0; /* the root, and what is above OWN */
  c->group = xasprintf("%s/drover-%.*s-%llx.", path, INSTANCE_USED, instance, (unsigned long long)st.st_ino);
  group = cgroup_make(c, TRIED);
  above = group < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  e = above < 0 || faccessat(above, "cgroup.procs", W_OK, 0) ? errno : 0;
  if (!e && !faccessat(group, "cgroup.kill", W_OK, 0))
    c->ruled = RULED_KILL;
  if (!e)
    e = hand_on(c, above, !*own && own[1]);
  close(above);
  cgroup_end(c, TRIED, group);
  if (c->ruled)
    return e;
  free(c->group);
  c->group = NULL;
  return e ? e : ENOSYS;
}

/* ---- a command's ---- */

int cgroup_make(const struct confine *c, const char *cmd)
{
  char *path = xasprintf("%s%s", c->group, cmd), text[TEXT_MAX];
  int group = mkdir(path, 0755) && errno != EEXIST ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  free(path);
  for (unsigned i = 0; group >= 0 && i < CONFINE_RULES; i++) {
    if (!(c->ruled >> i & 1))
      continue;
    snprintf(text, sizeof text, "%lld%s", (long long)c->limit[CONFINE_RULED + i], files[i].behind);
    if (!small_put(group, files[i].file, text)) {
      close(group);
      group = -1;
    }
  }
  if (group >= 0 && !small_put(group, "memory.oom.group", "1"))
    errno = 0; /* no limit of memory, or before 4.19: then it is some of its processes that end */
  return group;
}

int cgroup_entry(int group) { return openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC); }

/* What follows that in the file, or NULL. */
static const char *behind(int group, const char *file, const char *word)
{
  static char text[EVENTS_MAX];
  const char *at = small_read(group, file, text, sizeof text) ? NULL : strstr(text, word);

  return at ? at + strlen(word) : NULL;
}

bool cgroup_kill(int group)
{
  if (!behind(group, "cgroup.events", "populated 1") || !small_put(group, "cgroup.kill", "1"))
    return false;
  for (const char *at = behind(group, "cgroup.procs", ""); at && *at; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
    os_hurry((pid_t)atoi(at)); /* those that are in groups below, or too many for one look, die as they can */
  return true;
}

bool cgroup_starved(int group)
{
  const char *n = behind(group, "memory.events", "oom_kill ");

  return n && *n != '0';
}

/* With those that the command has made in it. */
static void remove_group(int at, const char *name)
{
  DIR *d = fdopendir(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct dirent *e;

  if (!d)
    return;
  while ((e = readdir(d)))
    if (e->d_type == DT_DIR && *e->d_name != '.')
      remove_group(dirfd(d), e->d_name);
  closedir(d);
  unlinkat(at, name, AT_REMOVEDIR); /* fails where something can't die: cgroup_tidy() comes again */
}

void cgroup_end(const struct confine *c, const char *cmd, int group)
{
  char *path = xasprintf("%s%s", c->group, cmd);

  for (int i = 0; i < SWEEPS_MAX && cgroup_kill(group); i++)
    poll(NULL, 0, SWEEP_MS);
  close(group);
  remove_group(AT_FDCWD, path);
  free(path);
}

void cgroup_tidy(const struct confine *c, const struct map *wanted)
{
  char above[PATH_MAX], *prefix;
  struct dirent *e;
  DIR *d;

  if (!c->group)
    return;
  prefix = strrchr(strcpy(above, c->group), '/');
  *prefix++ = 0;
  d = opendir(above);
  while (d && (e = readdir(d)))
    if (str_starts(e->d_name, prefix) && !map_get(wanted, e->d_name + strlen(prefix))) {
      int group = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      cgroup_kill(group);
      close(group);
      remove_group(dirfd(d), e->d_name);
    }
  if (d)
    closedir(d);
}
