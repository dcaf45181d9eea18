/* What `svn info`, `svn list` and `svn log` write with --xml, one entry after the other. Pure; bytes in as they come. What comes may be anything: no document type is taken (so no entities of its own),
   depth, texts and the number of paths are bounded. */
#ifndef MASTER_CHANGES_HELPER_SVNXML_H
#define MASTER_CHANGES_HELPER_SVNXML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define SVNXML_DEPTH_MAX 16
#define SVNXML_TEXT_MAX (64u << 10) /* of a message; the rest of it is left out */
#define SVNXML_NAME_MAX 4096u       /* of any other text; one that is longer counts as empty */
#define SVNXML_PATHS_MAX 4000       /* of one entry; there are more: paths_cut */

struct svnxml_path {
  char *path;      /* from the repository's root, "/trunk/a" */
  char action;     /* A D M R */
  bool folder, copied;
};
struct svnxml_entry { /* texts "" where they are missing, valid UTF-8; numbers -1 */
  bool folder;
  int64_t revision;  /* of info: the repository's newest; of log: the entry's */
  int64_t changed;   /* of info and list: the last one that changed it */
  char *list;        /* of list: which target it belongs to */
  char *name, *url, *root, *author, *message;
  int64_t time_ms;   /* since 1970; 0: not told */
  struct svnxml_path *paths;
  size_t npaths;
  bool paths_cut;
};

struct svnxml;
/* entry: false ends the reading. What it is shown is valid during the call. */
struct svnxml *svnxml_new(bool (*entry)(void *arg, const struct svnxml_entry *e), void *arg) must_check;
bool svnxml_take(struct svnxml *x, const char *p, size_t n) must_check; /* false: no such XML, or ended by `entry` */
bool svnxml_end(struct svnxml *x) must_check;                           /* true: the document was whole */
const char *svnxml_why(const struct svnxml *x);                         /* after a false: a sentence; NULL where `entry` ended it */
void svnxml_free(struct svnxml *x);
#endif
