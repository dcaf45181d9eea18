/* The site's configuration, one immutable value: master.yaml (with the files of conf.d beside it and what both include), checked against the schema table.
   Everything in it is owned by it; relative paths in a file count from that file's folder and are made absolute here. */
#ifndef MASTER_CONF_CONF_H
#define MASTER_CONF_CONF_H
#include <stdbool.h>
#include <stdint.h>

#include "master/conf/conf_keys.h"
#include "master/conf/conf_lock.h"
#include "master/conf/conf_login.h"
#include "master/conf/conf_pool.h"
#include "common/net.h"
#include "master/conf/conf_secret.h"
#include "master/conf/pipeline.h"
#include "master/conf/vcs.h"

#define CONF_UNSET INT64_MIN

struct map;
struct parts;

/* --- what is looked at --- */

/* Looks of each kind in the time of `look`: those at pending requests are the dearest. */
#define CONF_LOOKS_DISPATCH 1
#define CONF_LOOKS_FLOW 2
#define CONF_LOOKS_WAITS 5
#define CONF_LOOKS_EVENTS 5

#define CONF_CODEBASES_MAX 32 /* of a project */
#define CONF_CODEBASE_MAX 32  /* bytes of a codebase's name */

struct conf_hook {
  bool on;                 /* the project takes hooks at all */
  char *dialect;           /* NULL: `poll`, a hook without a meaning of its own */
  char *secret_file;       /* made absolute; NULL: unsigned, so a hook only makes the master look */
  char *secret;            /* its bytes without the line feed at the end, no NUL in them; NULL where secret_file is */
};

/* One repository of a project. */
struct conf_codebase {
  char *name;              /* "": the project's only one, whose keys stand at the project */
  char *git;               /* URL of the repository, of whatever kind it is; file: and plain paths only with allow_local */
  enum vcs vcs;
  char **branches;         /* globs; none given: all */
  int nbranches;
  int64_t poll_ms;         /* default 60 s */
  int share;               /* of the workers, 1 or more */
  bool first_build;        /* key `first: build`: the tips seen at the very first look are changes too; default `note`: history is not built */
  struct conf_hook hook;
  struct conf_login login;
  char *category;          /* what changes that the poller finds are of; or NULL */
  char *pin;               /* what the rule `pinned` means: a revision, tag or branch; or NULL */
};

struct conf_project {
  char *name;
  struct conf_codebase *codebases; /* one at least */
  int ncodebases;
  int main;                /* the one whose .drover.yml is the pipeline, and which is checked out where a builder does not say */
  char **stamps;           /* key `stamps.others`: what goes with a change elsewhere, in the order in which it is asked; the tip in the end is not in it */
  int nstamps;
  int share;               /* of the workers, 1 or more */
  bool report_builders;    /* key of that name: what builds report counts also where the pipeline is the site's */
  struct output_limit output; /* instead of the site's, where it is said */
  bool forks_build;        /* key `forks: build`: pull requests from forks need no approval */
  char **needed_by;        /* patterns of projects whose builders may need those of this one */
  int nneeded_by;
  char **triggered_by;     /* patterns of projects whose steps may trigger builders of this one */
  int ntriggered_by;
  char *pipeline_file;     /* key `pipeline`: a file of the site that stands in for .drover.yml (path made absolute); or NULL */
  struct pipeline *pipeline; /* from `pipeline`, or from builders/steps/schedulers in the site's file; NULL: .drover.yml at each revision */
  char *pipeline_text;     /* a .drover.yml of it, for the version row: the file's text, or the site's keys written out; pipeline_parse
                              makes the same pipeline of it; NULL where pipeline is NULL */
  struct conf_keys keys;   /* but for the pipeline's */
};

struct conf {
  int users;               /* references: the master's, and one for each project that is at work with it (schedulers/worlds.c) */
  char *file;              /* as given on the command line */
  char *text;              /* everything that was read and printed (parts.h), for the version row and its hash; conf_of_text makes the same of it */
  char **files;            /* every file that was read, absolute: master.yaml first; not the programs */
  int nfiles;
  char *state;             /* folder; default /var/lib/drover; made absolute */
  char *socket;            /* API's unix socket; default /run/drover/drover.sock */
  char *api;               /* HOST:PORT of page and API on TCP; default 127.0.0.1:7420; port 0: any, told in the log; "none": not at all */
  char *workers_listen;    /* HOST:PORT for workers (TLS); default "*:7421"; port 0: any */
  char *workers_socket;    /* unix socket for local workers; NULL: none */
  char *address;           /* HOST:PORT that join tokens name; NULL: this host's name and the port listened on */
  char *database;          /* libpq conninfo or URI; NULL: private */
  char *database_folder;   /* of the private PostgreSQL; NULL: by rule */
  bool allow_local;        /* file: and plain paths as repositories */
  bool same_user;          /* a worker may run under the master's uid */
  char *url;               /* site.url or NULL */
  char *downloads;         /* folder of the worker programs at /download/ (made absolute), or NULL: of this installation */
  char *prefix;            /* its path without a slash at the end: "/ci"; "" where it has none */
  struct net *trusted;     /* key `trusted_proxies` */
  int ntrusted;
  int64_t window_ms;       /* re-attach window, default 30 min */
  int64_t look_ms;         /* how often at least this master looks at what others did; parts of it below; default 5 s */
  int64_t keep_work_ms;    /* an unused work folder stays so long; 0: for ever; default 14 d */
  int64_t min_free;        /* bytes of a worker's disk that stay free; 0: no limit; CONF_UNSET: by rule, see conf_min_free */
  struct output_limit output; /* of each command; default 1 GiB, any number of lines */
  int helpers;             /* git helpers at once, default 4 */
  struct conf_worker *workers;
  int nworkers;
  struct conf_pool *pools;
  int npools;
  struct conf_secret *secrets;
  int nsecrets;
  struct conf_lock *locks;
  int nlocks;
  struct conf_project *projects;
  int nprojects;
  struct conf_keys keys;   /* of the site itself */
  struct map *worker_of;   /* name → one of workers */
};

/* Reads file (may be a pipe), the files *.yaml of conf.d beside it in the order of their names, what they include (programs are run), and the files that projects name with `pipeline`.
   All but `file` must be ordinary files.
   NULL where d got errors: all there are, of all files. Blocks on the disk and on programs: at start only; a running master reads in another thread (core/reading.h). */
struct conf *conf_load(const char *file, struct diags *d) must_check;
/* The same without running anything: programs are taken to print what they printed for the configuration with the text `known`, else (NULL, too) nothing. */
struct conf *conf_look(const char *file, const char *known, struct diags *d) must_check;
/* From a version's text: without files and programs, but for those of secrets, which are never in a text. what: for messages, "version 12". file: the
   site's file from now on, whatever it was when the version was made; NULL: it is only looked at, so that no secret is read. */
struct conf *conf_of_text(const char *what, const char *text, const char *file, struct diags *d) must_check;
/* From parts, which are taken over. */
struct conf *conf_make(struct parts *parts, struct diags *d) must_check;
struct conf *conf_hold(struct conf *c) must_check; /* one more reference (conf_load's is the first); returns c */
void conf_free(struct conf *c); /* one less; the last frees it. NULL: nothing */
/* The path of a URL without a slash at its end, "" where it has none; freed by the caller. url may be NULL. */
char *conf_prefix(const char *url) must_check;
bool conf_same_secrets(const struct conf *a, const struct conf *b); /* of the same text: whether the files of secrets that it names held the same */
const struct conf_project *conf_project(const struct conf *c, const char *name);
bool conf_may_need(const struct conf_project *p, const char *project); /* whether builders of that project may need builders of p */
/* Whether the project has codebases with names; else it has one repository. */
bool conf_has_codebases(const struct conf_project *p);
/* What the main codebase is called; "": the project has one repository. */
const char *conf_main(const struct conf_project *p);
/* By name; "": the one of a project without names, else none. NULL: there is none. */
const struct conf_codebase *conf_codebase(const struct conf_project *p, const char *name);
/* What a pipeline says of codebases, against those of its project; faults into d. */
void conf_check_codebases(const struct conf_project *p, const struct pipeline *pipe, struct diags *d);
/* What project_put (db/schema_0027.sql) keeps of it. The caller frees it. */
char *conf_codebases_json(const struct conf_project *p) must_check;
/* What counts for a worker, named in the configuration or not; pool: as of conf_worker_of(). total: bytes of its disk, -1: not known. Without a key the limit is the default, or a tenth of the
   disk where that is less: a small disk must not refuse every build. */
int64_t conf_min_free(const struct conf *c, const char *worker, const char *pool, int64_t total);
int64_t conf_keep_work_ms(const struct conf *c, const char *worker, const char *pool);
/* The most output that a command of the project may have. */
struct output_limit conf_output(const struct conf *c, const char *project);
/* The reference of all keys, markdown, from the schema table: docs/config.md. */
void conf_reference(struct buf *out);
#endif
