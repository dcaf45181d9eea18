/* What kind a repository is: git's, or another's. Where its name stands in a row or in a request to the helper it is the one of this table. */
#ifndef MASTER_CONF_VCS_H
#define MASTER_CONF_VCS_H
#include <stdbool.h>

#include "common/mem.h"

enum vcs {
  VCS_GIT,        /* 0, so that what says nothing is git */
  VCS_SVN,        /* branches are the folders trunk and branches/NAME below the URL, tags are tags/NAME */
  VCS_SVN_FOLDER, /* the URL's folder itself is the one branch, which is called trunk */
  VCS_HG,
  VCS_COUNT
};

const char *vcs_text(enum vcs v);             /* "git" … */
bool vcs_of(const char *text, enum vcs *out); /* false: no such kind */
const char *vcs_program(enum vcs v);          /* what the master and its workers run for it; for people */
const char *vcs_package(enum vcs v);          /* where Debian has that */
bool vcs_is_svn(enum vcs v);

/* By what a private one is reached. */
enum vcs_login { VCS_LOGIN_NONE, VCS_LOGIN_KEY /* of ssh */, VCS_LOGIN_PASSWORD, VCS_LOGIN_BEARER };
const char *vcs_login_text(enum vcs_login l); /* "key" … for people */
#endif
