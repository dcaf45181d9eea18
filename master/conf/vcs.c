/* The table of kinds of repositories. */
#include "master/conf/vcs.h"

#include <string.h>

static const struct {
  const char *text, *program, *package;
} kinds[VCS_COUNT] = {
  [VCS_GIT] = { "git", "git", "git" },
  [VCS_SVN] = { "svn", "svn", "subversion" },
  [VCS_SVN_FOLDER] = { "svn-folder", "svn", "subversion" },
  [VCS_HG] = { "hg", "hg", "mercurial" },
};

const char *vcs_text(enum vcs v)
{
  return kinds[v].text;
}

bool vcs_of(const char *text, enum vcs *out)
{
  for (int i = 0; i < VCS_COUNT; i++)
    if (!strcmp(kinds[i].text, text)) {
      *out = (enum vcs)i;
      return true;
    }
  return false;
}

const char *vcs_program(enum vcs v)
{
  return kinds[v].program;
}

const char *vcs_package(enum vcs v)
{
  return kinds[v].package;
}

bool vcs_is_svn(enum vcs v)
{
  return v == VCS_SVN || v == VCS_SVN_FOLDER;
}

const char *vcs_login_text(enum vcs_login l)
{
  static const char *const texts[] = { [VCS_LOGIN_NONE] = "nothing", [VCS_LOGIN_KEY] = "key", [VCS_LOGIN_PASSWORD] = "password", [VCS_LOGIN_BEARER] = "token" };

  return texts[l];
}
