/* `drover-worker uninstall`: the service, worker.conf and the program go; the state folder, with output that no master has yet, only with --purge. */
#include "worker/install_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/remove.h"

static const char uninstall_help[] =
  "usage: drover-worker uninstall [options]      as root\n"
  "\n"
  "Stops and removes the service, worker.conf and what `install` has copied. Running commands go on.\n"
  "\n"
  "  --purge          the state folder as well, with output that no master has yet\n"
  "  --root DIR       all files below DIR\n"
  "\n"
  "exit codes: as of install\n";

/* False: it was not there, or could not be removed (told). */
static bool drop(struct install *in, const char *path, int *code)
{
  char *full = install_below(in, path);
  bool gone = !unlink(full);

  if (!gone && errno != ENOENT)
    *code = install_tell(INSTALL_FAILED, "can't remove %s: %s", full, strerror(errno));
  if (gone)
    printf("removed %s\n", full);
  free(full);
  return gone;
}

static int purge(struct install *in)
{
  int top = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad;

  bad = top < 0 || remove_tree(top, in->dir_path + 1);
  if (top >= 0)
    close(top);
  if (bad)
    return install_tell(INSTALL_FAILED, "can't remove all of %s: %s", in->dir_path, strerror(errno));
  printf("removed %s\n", in->dir_path);
  return 0;
}

int uninstall_main(int argc, char **argv)
{
  const char *const disable[] = { "systemctl", "--quiet", "disable", "--now", INSTALL_UNIT, NULL }, *const reload[] = { "systemctl", "daemon-reload", NULL };
  struct conf_given given = { .config = NULL };
  struct install in;
  struct conf c;
  int code;

  install_init(&in);
  code = install_parse(argc, argv, &in, uninstall_help);
  if (code >= 0)
    return code;
  code = 0;
  in.conf_path = install_below(&in, CONF_FILE);
  given.config = in.conf_path;
  if (!access(in.conf_path, F_OK) && !conf_load(&c, &given)) {
    in.dir = xstrdup(c.dir);
    conf_free(&c);
  }
  if (!in.dir)
    in.dir = xstrdup(in.dir_given ? in.dir_given : CONF_DIR);
  in.dir_path = install_below(&in, in.dir);
  if (!*in.root && setup_has_systemd())
    (void)setup_run(disable);
  if (install_is_running(in.dir_path)) {
    code = install_tell(INSTALL_IN_USE, "a drover-worker that is not the service's runs on %s: stop it first (SIGTERM)", in.dir_path);
  } else {
    if (drop(&in, INSTALL_UNIT_FILE, &code) && !*in.root && setup_has_systemd())
      (void)setup_run(reload);
    drop(&in, CONF_FILE, &code);
    drop(&in, INSTALL_PROGRAM, &code);
    if (!code && in.purge)
      code = purge(&in);
    else if (!code && !access(in.dir_path, F_OK))
      printf("kept %s (--purge removes it) and the user %s\n", in.dir_path, in.user);
  }
  install_free(&in);
  return code;
}
