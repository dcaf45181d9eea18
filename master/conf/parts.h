/* What a site's configuration is made of: the texts of its files and of the programs that print some, read before anything of it is judged, so that this may be done in another thread; and the
   one text that they make together, from which the same configuration is made again without a file or a program. That text is what a version in the database holds:

     # drover configuration 1
     --- # site 57 /etc/drover/master.yaml            kind, bytes, place; then the bytes, and a line feed where they don't end in one
     --- # output 812 /etc/drover/<output of ./projects --all>
*/
#ifndef MASTER_CONF_PARTS_H
#define MASTER_CONF_PARTS_H
#include "master/conf/diag.h"
#include "master/conf/yaml.h"

#define PARTS_MAX 1000               /* files and outputs of a configuration */
#define PARTS_BYTES_MAX (16u << 20)  /* of all of them */
#define PARTS_PROGRAMS_MAX 16        /* programs that are run */
#define PARTS_DEPTH_MAX 8            /* files that include files */
#define PARTS_ARGS_MAX 64            /* words of a program */
#define PARTS_OUTPUT_NAME_MAX 200    /* bytes of "<output of …>" */

enum part_kind { PART_SITE, PART_CONFD, PART_INCLUDE, PART_OUTPUT, PART_PIPELINE, PART_KINDS };

struct part {
  enum part_kind kind;
  char *name;          /* for messages: the file as somebody named it, or "<output of ./projects --all>" */
  char *path;          /* absolute; of an output its folder and name */
  char *folder;        /* from which relative paths in it count */
  char *text;          /* NUL-ended; NULL: it could not be had, which said tells */
  size_t len;
  struct yml_doc *doc; /* NULL of pipelines, and where text is none */
  struct diags said;
};
struct parts {
  struct part **v;     /* the site's file first, each followed by what it includes */
  int n;
};

/* What is done about `include: {run: …}`. */
enum parts_programs {
  PARTS_RUN,   /* it is run, generate.h says how; blocks for as long as that takes */
  PARTS_KNOWN, /* what it printed for the text `known` counts, or nothing where it is not in there */
};
/* Reads all there is, from the disk; what is wrong is in the parts. known: may be NULL. Never NULL. In any thread. */
struct parts *parts_gather(const char *file, enum parts_programs programs, const char *known) must_check;
/* From such a text. NULL: it is none, `why` has a sentence. */
struct parts *parts_of_text(const char *text, struct buf *why) must_check;
/* The text. The caller frees it. */
char *parts_text(const struct parts *p) must_check;
struct part *parts_find(const struct parts *p, enum part_kind kind, const char *path); /* NULL: there is none */
void parts_free(struct parts *p); /* NULL: nothing */
/* The folder of a file, absolute; and a path that counts from a folder. The caller frees them. */
char *parts_folder(const char *file) must_check;
char *parts_path(const char *folder, const char *path) must_check;
#endif
