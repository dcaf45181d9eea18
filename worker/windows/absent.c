/* What this system does not have: users of their own for builds, control groups, terminals, wrappers; and what of the worker is not there yet: the master's orders for the agent itself, installing, ssh. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/notify.h"
#include "worker/admin.h"
#include "worker/cgroup.h"
#include "worker/fileop.h"
#include "worker/install.h"
#include "worker/slot.h"
#include "worker/stdio.h"
#include "worker/terminal.h"
#include "worker/wrap.h"

static void not_here(struct agent *a, struct wire_msg *m)
{
  static const char text[] = "a worker on Windows can't do that";

  wire_put_blob(&a->link.out, VERB_done, text, sizeof text - 1, "ns", wire_num(m, 0), "badarg");
}

void admin_upgrade(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_restart(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_stop(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_tail(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_facts(struct agent *a, struct wire_msg *m) { not_here(a, m); }
int fileop_facts(struct fileop *op) { return fileop_fail(op, "badarg", "a worker on Windows can't do that"); }
void upgrade_welcomed(struct upgrade *u) { (void)u; }
void notify_init(void) {}
void notify_send(const char *fmt, ...) { (void)fmt; }
int wrap_main(char **argv) { return (void)argv, EXIT_USAGE; }
int wrap_command(struct spec *s, const struct confine *c, int work, const char *path, const char *cmd) { return (void)s, (void)c, (void)work, (void)path, (void)cmd, ENOSYS; }
int stdio_in(void) { return -1; }
const struct tls_ops tls_stdio; /* nobody's: --stdio has said no */

bool stdio_begin(void)
{
  fputs("drover-worker: --stdio is not there on Windows: the worker dials its master, with a join token\n", stderr);
  return false;
}

uid_t slot_owner(const struct confine *c, int work, const char *path, bool make)
{
  (void)c, (void)work, (void)path, (void)make;
  errno = ENOSYS;
  return 0;
}

const char *slot_text(int number) { return number == ENOEXEC ? "it is no program (a batch file needs cmd /c)" : NULL; }
int cgroup_make(const struct confine *c, const char *cmd) { return (void)c, (void)cmd, -1; } /* a job is one */
int cgroup_entry(int group) { return group; }
bool cgroup_kill(int group) { return (void)group, false; }
bool cgroup_starved(int group) { return (void)group, false; }
void cgroup_end(const struct confine *c, const char *cmd, int group) { (void)c, (void)cmd, (void)group; }
void slot_sweep(uid_t uid) { (void)uid; }
bool slot_enter(const struct confine *c, int work, enum verb verb, const char *path, const char *to) { return (void)c, (void)work, (void)verb, (void)path, (void)to, true; }
void terminal_resize(int fd, const char *size) { (void)fd, (void)size; }
char terminal_eof(int fd) { return (void)fd, 26; }

static int by_hand(void)
{
  fputs("drover-worker: on Windows the word is --install-service NAME (and --uninstall-service NAME); --help tells more\n", stderr);
  return EXIT_USAGE;
}

int install_main(int argc, char **argv) { return (void)argc, (void)argv, by_hand(); }
int uninstall_main(int argc, char **argv) { return (void)argc, (void)argv, by_hand(); }
