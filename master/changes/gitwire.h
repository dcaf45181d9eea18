/* What the master and drover-git-helper say to each other, as records (proto/records.h) over the helper's stdin and stdout.

   Request: op=poll|read, vcs=git|svn|svn-folder|hg, mirrors, name, url, local=0|1, deadline=ms, then
     poll: glob=G … known=<revision> <branch> …
     read: branch, revision, path
     both: end=1, always last; before that host_key=… as=password|bearer, user, token, key, where the remote wants them
   Answer: poll: head=<revision> <branch> …, ignored, left_out; read: revision, found=0|1, text=<hex>; both: for each commit
   commit=<revision> branch previous author committer time=<ms> message file=… cut=1, in this order; then, always last, err=<tag> why=… end=1.
   While a fetch makes progress: alive=1, at most one a second. An answer without `end` is a helper that died. */
#ifndef MASTER_CHANGES_GITWIRE_H
#define MASTER_CHANGES_GITWIRE_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define GITW_REQUEST_MAX (32u << 20)
#define GITW_WHY_MAX 1024
#define GITW_MESSAGE_MAX (64u << 10)

const char *gitw_err_tag(enum err e);
bool gitw_err_of(const char *tag, enum err *e); /* false: no such tag */
#endif
