/* The site's configuration, one immutable value: master.yaml (and the files of conf.d beside it), checked against the schema table.
   Everything in it is owned by it; relative paths in a file count from that file's folder and are made absolute here. */
#ifndef MASTER_CORE_CONF_H
#define MASTER_CORE_CONF_H
#include <stdbool.h>
#include <stdint.h>

#include "master/core/pipeline.h"

#define CONF_FILES_MAX 1000 /* in conf.d */

struct conf_worker {
  char *name;
  int slots;
  char **tags;
  int ntags;
};

struct conf_hook {
  bool on;                 /* the project takes hooks at all */
  char *dialect;           /* NULL: `poll`, a hook without a meaning of its own */
  char *secret_file;       /* made absolute; NULL: unsigned, so a hook only makes the master look */
  char *secret;            /* its bytes without the line feed at the end, no NUL in them; NULL where secret_file is */
};

struct conf_project {
  char *name, *git;        /* URL; file: and plain paths only with allow_local */
  char **branches;         /* globs; none given: all */
  int nbranches;
  int64_t poll_ms;         /* default 60 s */
  bool first_build;        /* key `first: build`: the tips seen at the very first look are changes too; default `note`: history is not built */
  struct conf_hook hook;
  char *pipeline_file;     /* key `pipeline`: a file of the site that stands in for .drover.yml (path made absolute); or NULL */
  struct pipeline *pipeline; /* from `pipeline`, or from builders/steps/schedulers in the site's file; NULL: .drover.yml at each revision */
  char *pipeline_text;     /* a .drover.yml of it, for the version row: the file's text, or the site's keys written out; pipeline_parse
                              makes the same pipeline of it; NULL where pipeline is NULL */
};

struct conf {
  char *file;              /* as given on the command line */
  char *text;              /* everything that was read, in order, for the version row and its hash; each further file begins with a
                              line "--- # FILE" */
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
  int64_t window_ms;       /* re-attach window, default 30 min */
  int helpers;             /* git helpers at once, default 4 */
  struct conf_worker *workers;
  int nworkers;
  struct conf_project *projects;
  int nprojects;
};

/* Reads file (may be a pipe), the files *.yaml of conf.d beside it in the order of their names, and the files that projects name with `pipeline`.
   NULL where d got errors: all there are, of all files. Blocks on the disk: at start and reload only. */
struct conf *conf_load(const char *file, struct diags *d) must_check;
void conf_free(struct conf *c); /* NULL: nothing */
const struct conf_project *conf_project(const struct conf *c, const char *name);
/* The reference of all keys, markdown, from the schema table: docs/config.md. */
void conf_reference(struct buf *out);
#endif
