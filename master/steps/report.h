/* What a command reports (docs/protocol.md 4): from the bytes that its worker sent to properties, a summary, links, stamps, and the text of builders (dispatch/run_nodes.c reads that). Pure. Nothing of it is trusted: whatever is wrong costs the whole report,
   and `trouble` says what it was. */
#ifndef MASTER_STEPS_REPORT_H
#define MASTER_STEPS_REPORT_H
#include <stdbool.h>
#include <stddef.h>

#include "common/mem.h"
#include "master/conf/vcs.h"

struct build_ctx;

#define REPORT_PROPERTIES_MAX 64       /* of one report */
#define REPORT_NAME_MAX 64             /* bytes of a property's name */
#define REPORT_VALUE_MAX 4096          /* bytes of a property's value as JSON */
#define REPORT_BUILD_MAX (64u << 10)   /* bytes of all properties that a build has reported, as JSON */
#define REPORT_LINKS_MAX 32
#define REPORT_LINK_NAME_MAX 100       /* bytes */
#define REPORT_STAMPS_MAX 32
#define REPORT_URL_MAX 2000            /* bytes */
#define REPORT_SUMMARY_MAX 300         /* bytes; what is longer is cut */
#define REPORT_TROUBLE_MAX 8192        /* bytes of diagnostics; what is longer is cut */

struct report {
  char *properties; /* a JSON object; NULL: none */
  char *all;        /* the same over those that the build had reported before; NULL where properties is */
  char *stamps;     /* what it made in codebases, a JSON list of {codebase, revision, branch}; NULL: nothing */
  char *links;      /* a JSON list of {name, url}; NULL: none */
  char *summary;    /* one line; NULL: none */
  char *nodes;      /* the text of a nodes.yml; NULL: none, or there is trouble */
  bool has_nodes;   /* there was one, also where there is trouble */
  char *trouble;    /* why there is nothing; NULL: all is well */
};
/* blob: records of the worker's message. c: what the build has reported so far, and its codebases. */
void report_parse(const char *blob, size_t n, const struct build_ctx *c, struct report *out);
/* Whether it is a whole revision, of a repository of that kind. */
bool report_is_revision(enum vcs vcs, const char *s);
/* Of all properties of a build, a JSON object, those that its steps have reported: all but what its checkouts wrote. NULL: none. The caller frees it. */
char *report_before(const char *properties) must_check;
/* Nothing of it is taken, as `why` says: diagnostics, which may have lines. */
void report_refuse(struct report *r, const char *why);
void report_free(struct report *r);
#endif
