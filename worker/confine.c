/* The settings of confinement: one table of words for each key. */
#include "worker/confine.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "proto/records.h"

struct word {
  const char *name;
  unsigned bit;
};

static const struct word spaces[] = { { "user", CONFINE_USER }, { "pid", CONFINE_PID }, { "mount", CONFINE_MOUNT }, { "ipc", CONFINE_IPC }, { "uts", CONFINE_UTS }, { "net", CONFINE_NET }, { NULL, 0 } };
static const struct word groups[] = { { "run", ALLOW_RUN },         { "read", ALLOW_READ }, { "write", ALLOW_WRITE }, { "facts", ALLOW_FACTS }, { "log", ALLOW_LOG },
                                      { "restart", ALLOW_RESTART }, { "stop", ALLOW_STOP }, { NULL, 0 } };
static const struct word ruled[] = { { "kill", RULED_KILL }, { "memory", RULED_MEMORY }, { "processes", RULED_PROCESSES }, { "cpu", RULED_CPU }, { "off", RULED_NONE }, { NULL, 0 } };
static const char *const limits[CONFINE_LIMITS] = { "nproc", "nofile", "fsize", "as", "core", "memory", "processes", "cpu" };
enum { SIZES = 1 << CONFINE_FSIZE | 1 << CONFINE_AS | 1 << CONFINE_CORE | 1 << CONFINE_MEMORY }; /* of these */

void confine_init(struct confine *c)
{
  memset(c, 0, sizeof *c);
  for (int i = 0; i < CONFINE_LIMITS; i++)
    c->limit[i] = -1;
  c->limit[CONFINE_CORE] = 0;
  c->umask = CONFINE_UMASK;
  c->allow = ALLOW_ALL;
}

void confine_free(struct confine *c)
{
  free(c->wrapper);
  free(c->program);
  free(c->group);
  c->wrapper = c->program = c->group = NULL;
}

/* The next word of *at, which blanks or commas end; its length, 0: there is none. */
static size_t next_word(const char **at, const char **word)
{
  *word = *at + strspn(*at, ", \t");
  *at = *word + strcspn(*word, ", \t");
  return (size_t)(*at - *word);
}

/* The bits of a list of words; false: one is not in the table. */
static bool take_words(const struct word *table, const char *v, unsigned *bits)
{
  const char *word;
  size_t n;

  *bits = 0;
  while ((n = next_word(&v, &word))) {
    const struct word *w = table;
    while (w->name && (strlen(w->name) != n || memcmp(w->name, word, n)))
      w++;
    if (!w->name)
      return false;
    *bits |= w->bit;
  }
  return *bits != 0;
}

const char *confine_take_isolate(struct confine *c, const char *v)
{
  c->best = !strcmp(v, "auto");
  c->spaces = 0;
  if (c->best || !strcmp(v, "no"))
    return NULL;
  if (!take_words(spaces, v, &c->spaces))
    return "it is `no`, `auto`, or some of pid, mount, ipc, uts, net and user with commas between";
  return c->spaces & CONFINE_PID ? NULL : "`pid` must be one of the words: what is in it holds the other namespaces";
}

const char *confine_take_slot_uids(struct confine *c, const char *v)
{
  const char *to = strchr(v, '-');
  int64_t first, last;

  c->first = c->last = 0;
  if (!strcmp(v, "no"))
    return NULL;
  if (!to || str_number(v, (size_t)(to - v), &first) || str_number(to + 1, strlen(to + 1), &last))
    return "it is `no`, or FIRST-LAST, two numbers of users";
  if (first < 1 || last < first || last > INT32_MAX || last - first >= CONFINE_UIDS_MAX)
    return "these are numbers from 1 to 2147483647, the second not less than the first, at most 65536 of them";
  c->first = (uid_t)first;
  c->last = (uid_t)last;
  return NULL;
}

const char *confine_take_limits(struct confine *c, const char *v)
{
  static const char wrong[] = "it is NAME=NUMBER with blanks between, of nproc, nofile, processes, cpu, and sizes: fsize, as, core, memory; these take K, M, G and T; `none`: no limit";
  const char *word;
  size_t n;

  while ((n = next_word(&v, &word))) {
    const char *eq = memchr(word, '=', n);
    size_t name = eq ? (size_t)(eq - word) : 0;
    int which = 0;
    char value[STR_SIZE_MAX];
    while (which < CONFINE_LIMITS && (strlen(limits[which]) != name || memcmp(limits[which], word, name)))
      which++;
    if (!eq || which == CONFINE_LIMITS || n - name > sizeof value)
      return wrong;
    memcpy(value, eq + 1, n - name - 1);
    value[n - name - 1] = 0;
    if (!strcmp(value, "none"))
      c->limit[which] = INT64_MAX;
    else if (str_number(value, strlen(value), &c->limit[which]) && (!(1 << which & SIZES) || str_size(value, &c->limit[which])))
      return wrong;
  }
  return NULL;
}

const char *confine_take_umask(struct confine *c, const char *v)
{
  if (strlen(v) > 4 || strspn(v, "01234567") != strlen(v) || strtoul(v, NULL, 8) > 0777)
    return "it is up to three octal digits, as 022 or 027";
  c->umask = (mode_t)strtoul(v, NULL, 8);
  return c->umask & 0700 ? "it takes rights from the command itself" : NULL;
}

const char *confine_take_max_runtime(struct confine *c, const char *v)
{
  return str_duration(v, &c->most_ms) ? "it is a time as 90s, 30m, 4h or 1d; 0: no limit" : NULL;
}

const char *confine_take_allow(struct confine *c, const char *v)
{
  c->allow = ALLOW_ALL;
  if (!strcmp(v, "all"))
    return NULL;
  if (!strcmp(v, "no")) {
    c->allow = 0;
    return NULL;
  }
  return take_words(groups, v, &c->allow) ? NULL : "it is `all`, `no`, or some of run, read, write, facts, log, restart and stop with commas between";
}

const char *confine_take_exec_wrapper(struct confine *c, const char *v)
{
  int words = 0;
  struct buf out;

  free(c->wrapper);
  c->wrapper = NULL;
  if (!strcmp(v, "no"))
    return NULL;
  buf_init(&out, BUF_NO_MAX);
  for (size_t n; (v += strspn(v, " \t"), n = strcspn(v, " \t")); v += n) {
    for (const char *p = v; (p = memchr(p, '{', n - (size_t)(p - v))); p++)
      if (!str_starts(p, "{dir}") && !str_starts(p, "{slot}") && !str_starts(p, "{cid}"))
        words = CONFINE_WORDS_MAX;
    if (++words > CONFINE_WORDS_MAX)
      break;
    if (out.len)
      buf_addc(&out, ' ');
    buf_add(&out, v, n);
  }
  if (words <= CONFINE_WORDS_MAX && words)
    c->wrapper = xstrdup(buf_str(&out));
  buf_free(&out);
  return c->wrapper ? NULL : "it is a program and its words, at most 64, with blanks between; of what stands in {} there are {dir}, {slot} and {cid}";
}

const char *confine_take_cgroup(struct confine *c, const char *v)
{
  c->no_groups = !strcmp(v, "off");
  return c->no_groups || !strcmp(v, "auto") ? NULL : "it is `auto` or `off`";
}

unsigned confine_asked(const struct confine *c)
{
  unsigned bits = 0;

  for (int i = 0; i < CONFINE_RULES; i++)
    if (c->limit[CONFINE_RULED + i] >= 0 && c->limit[CONFINE_RULED + i] != INT64_MAX)
      bits |= 1u << i;
  return bits;
}

void confine_fall_back(struct confine *c)
{
  unsigned left = confine_asked(c) & ~c->ruled;

  if (left & RULED_MEMORY && c->limit[CONFINE_AS] < 0)
    c->limit[CONFINE_AS] = c->limit[CONFINE_MEMORY];
  if (left & RULED_PROCESSES && c->limit[CONFINE_NPROC] < 0)
    c->limit[CONFINE_NPROC] = c->limit[CONFINE_PROCESSES];
}

/* ---- to the minder ---- */

static const char *take_group(struct confine *c, const char *v)
{
  c->ruled = (unsigned)(*v - '@');
  c->group = xstrdup(v + (*v != 0));
  return NULL;
}

static const char *take_program(struct confine *c, const char *v)
{
  c->program = xstrdup(v);
  return NULL;
}

static const struct {
  const char *name;
  const char *(*take)(struct confine *c, const char *v);
} keys[] = { { "isolate", confine_take_isolate }, { "slot_uids", confine_take_slot_uids }, { "limits", confine_take_limits },
             { "umask", confine_take_umask },     { "most", confine_take_max_runtime },    { "wrapper", confine_take_exec_wrapper },
             { "program", take_program },         { "group", take_group } };

static void put_words(struct buf *out, const struct word *table, unsigned bits)
{
  for (const char *between = ""; table->name; table++)
    if (table->bit & bits) {
      buf_addf(out, "%s%s", between, table->name);
      between = ",";
    }
}

/* Lines of `key value`, each as worker.conf would have it. */
char *confine_text(const struct confine *c)
{
  const char *between = "limits ";
  struct buf out;
  char *text;

  buf_init(&out, BUF_NO_MAX);
  if (c->spaces) {
    buf_adds(&out, "isolate ");
    put_words(&out, spaces, c->spaces);
    buf_addc(&out, '\n');
  }
  if (c->first)
    buf_addf(&out, "slot_uids %u-%u\n", (unsigned)c->first, (unsigned)c->last);
  for (int i = 0; i < CONFINE_LIMITS; i++)
    if (c->limit[i] >= 0 && (i != CONFINE_CORE || c->limit[i])) {
      if (c->limit[i] == INT64_MAX)
        buf_addf(&out, "%s%s=none", between, limits[i]);
      else
        buf_addf(&out, "%s%s=%lld", between, limits[i], (long long)c->limit[i]);
      between = " ";
    }
  if (*between == ' ')
    buf_addc(&out, '\n');
  if (c->umask != CONFINE_UMASK)
    buf_addf(&out, "umask %o\n", (unsigned)c->umask);
  if (c->most_ms)
    buf_addf(&out, "most %lldms\n", (long long)c->most_ms);
  if (c->wrapper)
    buf_addf(&out, "wrapper %s\n", c->wrapper);
  if (c->wrapper && c->program)
    buf_addf(&out, "program %s\n", c->program);
  if (c->group)
    buf_addf(&out, "group %c%s\n", '@' + (int)c->ruled, c->group); /* a letter for the bits, then the path */
  text = xstrdup(buf_str(&out));
  buf_free(&out);
  return text;
}

static const char *take_line(struct confine *c, char *line)
{
  char *value = strchr(line, ' ');

  if (value)
    *value++ = 0;
  for (size_t i = 0; value && i < COUNT(keys); i++)
    if (!strcmp(keys[i].name, line))
      return keys[i].take(c, value);
  return "no such key";
}

enum err confine_read(struct confine *c, const char *text)
{
  char *copy = xstrdup(text), *lf;
  const char *wrong = NULL;

  confine_init(c);
  for (char *line = copy; !wrong && (lf = strchr(line, '\n')); line = lf + 1) {
    *lf = 0;
    wrong = take_line(c, line);
  }
  free(copy);
  return wrong ? ERR_BADARG : ERR_OK;
}

char *confine_names(const struct confine *c, char out[CONFINE_NAMES_MAX])
{
  struct buf b;

  buf_init(&b, CONFINE_NAMES_MAX - 1);
  put_words(&b, (const struct word[]){ { "uid", 1 }, { NULL, 0 } }, c->first ? 1 : 0);
  if (c->first && c->spaces)
    buf_addc(&b, ',');
  put_words(&b, spaces, c->spaces);
  if (c->wrapper)
    buf_adds(&b, b.len ? ",wrapper" : "wrapper");
  memcpy(out, b.len ? buf_str(&b) : "plain", b.len ? b.len + 1 : sizeof "plain");
  buf_free(&b);
  return out;
}

void confine_facts(const struct confine *c, struct buf *out)
{
  char words[CONFINE_NAMES_MAX];

  records_put(out, "isolation", confine_names(c, words));
  buf_adds(out, "cgroup=");
  put_words(out, ruled, c->ruled ? c->ruled : RULED_NONE);
  buf_addc(out, 0);
}

/* ---- what the master may ask for ---- */

/* ALWAYS: what a link lives on, and what ends commands or tells of them; a worker that refused these could only be lost. */
#define ALWAYS 0x8000u
static const unsigned group_of[VERB_COUNT] = {
  [VERB_welcome] = ALWAYS, [VERB_member] = ALWAYS, [VERB_no] = ALWAYS, [VERB_busy] = ALWAYS, [VERB_inventory] = ALWAYS, [VERB_resume] = ALWAYS, [VERB_ack] = ALWAYS,
  [VERB_follow] = ALWAYS, [VERB_kill] = ALWAYS, [VERB_forget] = ALWAYS, [VERB_ping] = ALWAYS, [VERB_pong] = ALWAYS, [VERB_bye] = ALWAYS, [VERB_error] = ALWAYS,
  [VERB_upgrade] = ALWAYS, /* has a key of its own: `upgrade` */
  [VERB_run] = ALLOW_RUN, [VERB_secrets] = ALLOW_RUN, [VERB_signal] = ALLOW_RUN, [VERB_stdin] = ALLOW_RUN, [VERB_close] = ALLOW_RUN, [VERB_resize] = ALLOW_RUN,
  [VERB_stat] = ALLOW_READ, [VERB_disk] = ALLOW_READ, [VERB_usage] = ALLOW_READ, [VERB_list] = ALLOW_READ, [VERB_get] = ALLOW_READ, [VERB_glob] = ALLOW_READ, [VERB_gettree] = ALLOW_READ,
  [VERB_mkdir] = ALLOW_WRITE, [VERB_remove] = ALLOW_WRITE, [VERB_put] = ALLOW_WRITE, [VERB_rename] = ALLOW_WRITE, [VERB_copy] = ALLOW_WRITE, [VERB_puttree] = ALLOW_WRITE,
  [VERB_facts] = ALLOW_FACTS, [VERB_tail] = ALLOW_LOG, [VERB_restart] = ALLOW_RESTART, [VERB_stop] = ALLOW_STOP,
};

/* What is not in the table needs everything: a verb that is new and was forgotten here is refused wherever `allow` was written. */
unsigned confine_group(enum verb v)
{
  return group_of[v] == ALWAYS ? 0 : group_of[v] ? group_of[v] : ALLOW_ALL;
}

const char *confine_refusal(const struct confine *c, enum verb v)
{
  static char text[96];
  unsigned group = confine_group(v);
  struct buf b;

  if ((group & c->allow) == group)
    return NULL;
  buf_init(&b, sizeof text - 1);
  buf_adds(&b, "this host's worker.conf does not allow it: `allow` lacks ");
  put_words(&b, groups, group & ~c->allow);
  memcpy(text, buf_str(&b), b.len + 1);
  buf_free(&b);
  return text;
}
