/* The private PostgreSQL's place: its user, folders, programs, and the cluster made once.

   Happy path: folder (0700, its user's), programs of the right major version, initdb into data.new, our
   settings, rename to data: a half-made cluster is never taken for a whole one.
   Failures end in a sentence: no such user, a folder its user can't reach, nothing installed, another
   major version, initdb's own last words (a full disk). */
#include "master/db/pg_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"

#define HASH_LEN 17 /* 16 hex digits, NUL */

/* FNV-1a: tells folders of one machine apart; nothing secret hangs on it. */
static void path_hash(const char *path, char out[HASH_LEN])
{
  uint64_t h = UINT64_C(0xcbf29ce484222325);

  for (; *path; path++)
    h = (h ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
  snprintf(out, HASH_LEN, "%016" PRIx64, h);
}

enum err pg_find_user(struct pg_user *u, struct buf *why)
{
  bool root = !geteuid();
  struct passwd *pw = root ? getpwnam("postgres") : getpwuid(geteuid());

  if (!pw) {
    if (root)
      buf_adds(why, "there is no user postgres, who must run PostgreSQL when we are root; "
                    "the package makes it: apt-get install postgresql-15");
    else
      buf_addf(why, "uid %d has no name in /etc/passwd, which PostgreSQL insists on", (int)geteuid());
    return ERR_NOTFOUND;
  }
  *u = (struct pg_user){ pw->pw_uid, pw->pw_gid, xstrdup(pw->pw_name), root };
  return ERR_OK;
}

static bool belongs_to(const char *path, uid_t *uid)
{
  struct stat st;

  if (lstat(path, &st) || !S_ISDIR(st.st_mode))
    return false;
  *uid = st.st_uid;
  return true;
}

/* The folder that a root's note in the state folder names; false: there is none. */
static bool read_note(const char *state, char *line, size_t cap)
{
  char *note = xasprintf("%s/database", state);
  FILE *f = fopen(note, "re");
  bool ok = f && fgets(line, (int)cap, f) && line[0] == '/';

  if (ok)
    line[strcspn(line, "\n")] = 0;
  if (f)
    fclose(f);
  free(note);
  return ok;
}

enum err pg_find_owner(struct pg_user *u, const char *state, const char *folder, struct buf *why)
{
  char line[4096], *own = xasprintf("%s/pg", state);
  struct passwd *pw;
  uid_t uid = 0;
  bool found = !geteuid() && ((folder && belongs_to(folder, &uid) && uid) || (read_note(state, line, sizeof line) && belongs_to(line, &uid) && uid) ||
                              (belongs_to(own, &uid) && uid) || (belongs_to(state, &uid) && uid));

  free(own);
  if (!found)
    return pg_find_user(u, why);
  pw = getpwuid(uid);
  if (!pw) {
    buf_addf(why, "the database belongs to uid %d, who has no name in /etc/passwd", (int)uid);
    return ERR_NOTFOUND;
  }
  *u = (struct pg_user){ pw->pw_uid, pw->pw_gid, xstrdup(pw->pw_name), true };
  return ERR_OK;
}

/* ---- folder ---- */

static bool is_empty(const char *path)
{
  DIR *d = opendir(path);
  int entries = 0;

  while (d && readdir(d))
    entries++;
  if (d)
    closedir(d);
  return entries == 2; /* . and .. */
}

/* A folder 0700 of the user's own: made, or found to be that. An empty one of ours is given to them. */
static enum err own_folder(const struct pg_user *u, const char *path, struct buf *why)
{
  struct stat st;
  bool made = !mkdir(path, 0700);
  enum err e = ERR_OK;
  int fd;

  if (!made && errno != EEXIST) {
    buf_addf(why, "can't make %s: %s", path, strerror(errno));
    return ERR_IO;
  }
  fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) {
    buf_addf(why, "%s is not a folder one can use: %s", path, strerror(errno));
    e = ERR_DENIED;
  } else if (st.st_uid != u->uid &&
             (st.st_uid != geteuid() || !is_empty(path) || fchown(fd, u->uid, u->gid))) {
    buf_addf(why, "%s belongs to uid %d, not to %s: not used", path, (int)st.st_uid, u->name);
    e = ERR_DENIED;
  } else if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700)) {
    buf_addf(why, "can't chmod %s: %s", path, strerror(errno));
    e = ERR_DENIED;
  }
  if (fd >= 0)
    close(fd);
  return e;
}

/* In a child as the user: 0 when all of the path can be entered, else the length (at most 200) of the
   first folder that can't. */
static int unreachable(void *arg)
{
  char *path = arg;

  for (char *p = path + 1;; p++)
    if (*p == '/' || !*p) {
      char was = *p;
      int bad;

      *p = 0;
      bad = access(path, X_OK);
      *p = was;
      if (bad)
        return p - path > 200 ? 200 : (int)(p - path);
      if (!was)
        return 0;
    }
}

static enum err check_reach(const struct ppg *p, struct buf *why)
{
  char *path = xstrdup(p->folder);
  int n = pg_as(&p->user, unreachable, path);

  free(path);
  if (!n)
    return ERR_OK;
  if (n > 200)
    buf_addf(why, "can't become user %s", p->user.name);
  else
    buf_addf(why, "user %s, who runs PostgreSQL, can't enter %.*s; give a folder outside of it, "
                  "or chmod o+x %.*s",
             p->user.name, n, p->folder, n, p->folder);
  return ERR_DENIED;
}

/* Root's rule: what state/database names, else /var/lib/drover/<hash of the state folder>, which is then
   named there. */
static char *folder_of_root(const char *state, struct buf *why)
{
  char hash[HASH_LEN], line[4096], *note = xasprintf("%s/database", state), *path = NULL;
  struct stat st;
  FILE *f = NULL;

  if (read_note(state, line, sizeof line) && !lstat(line, &st) && S_ISDIR(st.st_mode)) {
    free(note);
    return xstrdup(line);
  }
  path_hash(state, hash);
  path = xasprintf("/var/lib/drover/%s", hash);
  if (mkdir("/var/lib/drover", 0755) && errno != EEXIST) {
    buf_addf(why, "can't make /var/lib/drover: %s", strerror(errno));
    goto fail;
  }
  f = fopen(note, "we");
  if (!f || fprintf(f, "%s\n", path) < 0 || fflush(f) || fsync(fileno(f))) {
    buf_addf(why, "can't write %s: %s", note, strerror(errno));
    goto fail;
  }
  fclose(f);
  free(note);
  return path;

fail:
  if (f)
    fclose(f);
  free(note);
  free(path);
  return NULL;
}

enum err pg_make_folder(struct ppg *p, const char *state, const char *folder, struct buf *why)
{
  char *real = realpath(state, NULL), *path;
  uid_t owner = 0;
  enum err e;

  if (!real) {
    buf_addf(why, "state folder %s: %s", state, strerror(errno));
    return ERR_NOTFOUND;
  }
  (void)belongs_to(real, &owner);
  if (folder)
    path = xstrdup(folder);
  else
    path = p->user.drop && owner != p->user.uid ? folder_of_root(real, why) : xasprintf("%s/pg", real);
  free(real);
  if (!path)
    return ERR_IO;
  e = own_folder(&p->user, path, why);
  if (!e) {
    p->folder = realpath(path, NULL);
    if (!p->folder)
      e = ERR_IO;
  }
  free(path);
  if (e)
    return e;
  p->data = xasprintf("%s/data", p->folder);
  return p->user.drop ? check_reach(p, why) : ERR_OK;
}

/* ---- programs ---- */

int pg_data_major(const char *data)
{
  char *path = xasprintf("%s/PG_VERSION", data);
  FILE *f = fopen(path, "re");
  int major = 0;

  if (f && fscanf(f, "%d", &major) != 1)
    major = 0;
  if (f)
    fclose(f);
  free(path);
  return major;
}

/* Major version of the programs in a folder, 0: none there. */
int pg_bindir_major(const struct ppg *p, const char *dir)
{
  char *postgres = xasprintf("%s/postgres", dir), *initdb = xasprintf("%s/initdb", dir);
  const char *argv[] = { postgres, "-V", NULL };
  struct buf out;
  int major = 0;

  buf_init(&out, PG_OUTPUT_MAX);
  if (!access(postgres, X_OK) && !access(initdb, X_OK) &&
      !pg_run(&p->user, argv, PG_PROGRAM_MS, &out) &&
      sscanf(buf_str(&out), "postgres (PostgreSQL) %d", &major) != 1)
    major = 0;
  buf_free(&out);
  free(postgres);
  free(initdb);
  return major;
}

struct search {
  const struct ppg *p;
  int want;  /* this major version; 0: the newest */
  int best, other;
  char *dir;
};

static void try_dir(struct search *s, const char *dir)
{
  int major = pg_bindir_major(s->p, dir);

  if (major > s->other)
    s->other = major;
  if (major < PG_OLDEST || (s->want ? major != s->want || s->best : major <= s->best))
    return;
  s->best = major;
  free(s->dir);
  s->dir = xstrdup(dir);
}

static void search_all(struct search *s)
{
  static const char *const places[] = { "/usr/lib/postgresql/*/bin", "/usr/libexec/postgresql*",
    "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/lib/postgresql*/bin" };
  char *path = xstrdup(getenv("PATH")), *at = path, *dir;

  for (size_t i = 0; i < COUNT(places); i++) {
    glob_t g;

    if (!glob(places[i], 0, NULL, &g))
      for (size_t k = 0; k < g.gl_pathc; k++)
        try_dir(s, g.gl_pathv[k]);
    globfree(&g);
  }
  while (!s->best && (dir = strsep(&at, ":")))
    if (dir[0] == '/')
      try_dir(s, dir);
  free(path);
}

char *pg_find_bindir(const struct ppg *p, int want, int *other)
{
  struct search s = { .p = p, .want = want };

  search_all(&s);
  if (other)
    *other = s.other;
  return s.dir;
}

enum err pg_find_programs(struct ppg *p, struct buf *why)
{
  int want = pg_data_major(p->data), other = 0;

  p->bindir = pg_find_bindir(p, want, &other);
  if (p->bindir)
    return ERR_OK;
  if (!want) {
    if (other)
      buf_addf(why, "PostgreSQL %d is installed, %d or newer is needed: ", other, PG_OLDEST);
    else
      buf_adds(why, "PostgreSQL is not installed: ");
    buf_adds(why, "apt-get install postgresql-15 (Debian 12; elsewhere the package is postgresql or "
                  "postgresql-server)");
    return ERR_NOTFOUND;
  }
  buf_addf(why, "the database in %s was made by PostgreSQL %d, ", p->data, want);
  if (other)
    buf_addf(why, "installed is only %d", other);
  else
    buf_adds(why, "which is not installed");
  buf_addf(why, ". Either go on with %d: `apt-get install postgresql-%d`. Or move it to a newer one, with both installed: `drover-master upgrade-db`", want, want);
  return ERR_DENIED;
}

/* ---- cluster ---- */

struct conf {
  char *dir;
  char *settings, *hba, *ident;
};

static bool put_file(const char *dir, const char *name, int flags, const char *text)
{
  char *path = xasprintf("%s/%s", dir, name);
  int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);
  size_t n = strlen(text);
  bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && !fsync(fd);

  if (fd >= 0 && close(fd))
    ok = false;
  free(path);
  return ok;
}

/* In a child as the user: root writes nothing into a folder where somebody else could put links. */
static int write_conf(void *arg)
{
  static const char local[] = "# Settings of this site; most count from PostgreSQL's next start on.\n";
  struct conf *c = arg;

  return !(put_file(c->dir, "postgresql.conf", O_APPEND, c->settings) &&
           put_file(c->dir, "local.conf", O_TRUNC, local) &&
           put_file(c->dir, "pg_hba.conf", O_TRUNC, c->hba) &&
           put_file(c->dir, "pg_ident.conf", O_TRUNC, c->ident));
}

/* Does this build of PostgreSQL know lz4? */
static bool has_lz4(const struct ppg *p, const char *data)
{
  char *postgres = xasprintf("%s/postgres", p->bindir);
  const char *argv[] = { postgres, "-D", data, "-c", "wal_compression=lz4", "-C", "wal_compression",
    NULL };
  enum err e = pg_run(&p->user, argv, PG_PROGRAM_MS, NULL);

  free(postgres);
  return !e;
}

static enum err configure(const struct ppg *p, const char *state, const char *data, struct buf *why)
{
  struct stat st;
  struct passwd *owner = stat(state, &st) ? NULL : getpwuid(st.st_uid);
  struct conf c = { .dir = xstrdup(data) };
  struct buf ident;
  int failed;

  c.settings = xasprintf(
    "\n# drover's settings; yours belong into local.conf, which is read last.\n"
    "cluster_name = 'drover'\nmax_connections = 60\nshared_buffers = 64MB\n"
    "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n"
    "wal_compression = %s\nmax_wal_size = 1GB\nautovacuum = on\njit = off\nrandom_page_cost = 1.1\n"
    "log_line_prefix = ''\nlog_checkpoints = off\nlog_min_error_statement = panic\n"
    "include 'local.conf'\n", has_lz4(p, data) ? "lz4" : "on");
  c.hba = xstrdup("# Only the unix socket, only the users of pg_ident.conf.\n"
                  "local all all peer map=drover\n");
  buf_init(&ident, BUF_NO_MAX);
  buf_addf(&ident, "drover \"%s\" " PG_USER "\n", p->user.name);
  if (p->user.drop)
    buf_adds(&ident, "drover root " PG_USER "\n");
  if (owner && st.st_uid && st.st_uid != p->user.uid && !strchr(owner->pw_name, '"'))
    buf_addf(&ident, "drover \"%s\" " PG_USER "\n", owner->pw_name);
  c.ident = buf_take(&ident);
  failed = pg_as(&p->user, write_conf, &c);
  free(c.dir);
  free(c.settings);
  free(c.hba);
  free(c.ident);
  if (!failed)
    return ERR_OK;
  buf_addf(why, "can't write the settings in %s (is the disk full?)", data);
  return ERR_IO;
}

enum err pg_remove_tree(const struct ppg *p, const char *path)
{
  const char *argv[] = { "/bin/rm", "-rf", "--", path, NULL };

  return pg_run(&p->user, argv, PG_PROGRAM_MS, NULL);
}

static enum err initdb(const struct ppg *p, const char *data, const char *flag, struct buf *why)
{
  char *program = xasprintf("%s/initdb", p->bindir);
  const char *argv[] = { program, "-D", data, "-U", PG_USER, "-A", "peer", "-E", "UTF8",
    "--locale=C", "--no-instructions", flag, NULL };
  struct buf out;
  enum err e;

  buf_init(&out, PG_OUTPUT_MAX);
  e = pg_run(&p->user, argv, PG_INITDB_MS, &out);
  if (e) {
    const char *text = buf_str(&out), *error = strstr(text, "initdb: error: ");

    buf_addf(why, "initdb in %s %s: ", p->folder, e == ERR_TIMEOUT ? "took too long" : "failed");
    if (!error)
      error = out.len > 400 ? text + out.len - 400 : text;
    for (const char *s = error; *s && s < error + 400; s++)
      buf_addc(why, *s == '\n' ? ' ' : *s);
  }
  buf_free(&out);
  free(program);
  return e;
}

enum err pg_make_data(const struct ppg *p, const char *state, const char *data, const char *flag, struct buf *why)
{
  enum err e = initdb(p, data, flag, why);

  return e ? e : configure(p, state, data, why);
}

struct two_paths {
  const char *from, *to;
};

static int rename_paths(void *arg)
{
  struct two_paths *t = arg;

  return rename(t->from, t->to) != 0;
}

enum err pg_make_cluster(struct ppg *p, const char *state, struct buf *why)
{
  char *fresh = xasprintf("%s.new", p->data);
  struct two_paths move = { fresh, p->data };
  struct stat st;
  enum err e = ERR_OK;

  if (lstat(p->data, &st)) {
    log_info("pg", "making a database in %s", p->folder);
    e = pg_remove_tree(p, fresh);
    if (!e)
      e = pg_make_data(p, state, fresh, NULL, why);
    if (!e && pg_as(&p->user, rename_paths, &move)) {
      buf_addf(why, "can't rename %s", fresh);
      e = ERR_IO;
    }
  } else if (!pg_data_major(p->data)) {
    buf_addf(why, "%s is there but holds no database", p->data);
    e = ERR_DENIED;
  }
  free(fresh);
  return e;
}

/* ---- socket folder, lock file ---- */

static bool plain_path(const char *s)
{
  return s && *s == '/' &&
         !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+@~-")];
}

static bool is_mine(const char *path)
{
  struct stat st;

  return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !access(path, W_OK);
}

/* A service's own folder is named by RUNTIME_DIRECTORY, a session's by XDG_RUNTIME_DIR. */
static const char *runtime_folder(void)
{
  const char *unit = getenv("RUNTIME_DIRECTORY"), *xdg = getenv("XDG_RUNTIME_DIR");

  if (plain_path(unit) && is_mine(unit))
    return unit;
  return plain_path(xdg) && is_mine(xdg) ? xdg : NULL;
}

enum err pg_make_sock(struct ppg *p, struct buf *why)
{
  const char *run = runtime_folder();
  size_t room = sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/.s.PGSQL.5432";
  char hash[HASH_LEN];

  path_hash(p->folder, hash);
  if (p->user.drop && is_mine("/run"))
    p->sock = xasprintf("/run/drover-%s", hash);
  else if (!p->user.drop && run && strlen(run) + sizeof "/drover-" + HASH_LEN <= room)
    p->sock = xasprintf("%s/drover-%s", run, hash);
  else
    p->sock = xasprintf("/tmp/drover-%d-%s", (int)p->user.uid, hash);
  return own_folder(&p->user, p->sock, why);
}

/* postmaster.pid: pid, data folder, start, port, socket folder, address, shared memory, state. */
bool pg_read_lock(const struct ppg *p, struct pg_lock *lock)
{
  char *path = xasprintf("%s/postmaster.pid", p->data), text[2048], *at = text, *line;
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

  free(path);
  if (fd >= 0)
    close(fd);
  if (n <= 0)
    return false;
  text[n] = 0;
  *lock = (struct pg_lock){ 0 };
  for (int i = 1; (line = strsep(&at, "\n")); i++)
    if (i == 1)
      lock->pid = atoi(line);
    else if (i == 5)
      snprintf(lock->sock, sizeof lock->sock, "%s", line);
    else if (i == 8)
      lock->ready = str_starts(line, "ready");
  return lock->pid > 1;
}
