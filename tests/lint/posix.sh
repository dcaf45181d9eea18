#!/bin/bash
# Outside worker/os_*.c nothing of the worker knows Linux: no header, call, flag or file that POSIX 2008 does not have (make posix compiles it that way; this says so at once, and also of what is only a string).
cd "$(dirname "$0")/../.." || exit 1
files=$(ls common/*.[ch] proto/*.[ch] worker/*.[ch] | grep -v '^worker/os_linux[a-z_]*\.c$')
bad=0
look() { # what to look for, what to say; what is only said in comments doesn't count
  local found
  found=$(grep -nE "$1" $files | sed -E 's@/\*([^*]|\*[^/])*(\*/|$)@@g' | grep -E "$1") || return 0
  while IFS=: read -r file line _; do echo "$file:$line: $2"; done <<<"$found"
  bad=1
}
look '#include <(linux/|asm/|sys/(prctl|syscall|epoll|eventfd|signalfd|timerfd|inotify|sendfile|xattr|mount|vfs|capability)\.h|sched\.h)' 'a header that only os_linux.c may have'
look '\b(syscall|prctl|pipe2|ppoll|accept4|dup3|vfork|clone|unshare|setns|wait4|clearenv|initgroups|setgroups|memrchr|epoll_[a-z1]+|eventfd|signalfd|timerfd_[a-z]+|inotify_[a-z0-9_]+|[fl]?listxattr|memfd_create|close_range|openat2|sendfile|splice|getloadavg|fallocate|sync_file_range|sched_[gs]etaffinity|posix_openpt2)\(' 'a call that POSIX does not have: a function of worker/os.h'
look '\b(O_PATH|O_TMPFILE|SOCK_CLOEXEC|SOCK_NONBLOCK|AT_EMPTY_PATH|AT_NO_AUTOMOUNT|MSG_CMSG_CLOEXEC|POLLRDHUP|MAP_ANONYMOUS|TCP_USER_TIMEOUT|TCP_KEEPIDLE)\b' 'a flag that POSIX does not have: a function of worker/os.h'
look '"[^"]*/(proc|sys)/' 'a file that only Linux has: a function of worker/os.h'
look '_GNU_SOURCE' 'the Makefile says what is asked of the headers'
exit $bad
