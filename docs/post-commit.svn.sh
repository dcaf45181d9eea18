#!/bin/sh
# Tells drover what was committed. Copy it to hooks/post-commit of a Subversion repository and make it executable. It runs on the master's host, and whoever serves the repository must be allowed to use
# drover's socket. What could not be told is found by the poller.
#
# The projects, each with the path of its URL in the repository ("" for its top), a line each:
#   hooks/drover.projects:   libfoo libfoo
#                            manual docs/manual
set -u
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin} # hooks have no environment
export PATH
repo=$1 revision=$2
list=$(dirname "$0")/drover.projects

say() { echo "drover: $*" >&2; }
author=$(svnlook author -r "$revision" "$repo")
message=$(svnlook log -r "$revision" "$repo")

# The branches below a path that this revision touched: trunk, and what is in branches.
branches() { # path with a slash at its end, or ""
  svnlook changed -r "$revision" "$repo" | cut -c 5- | awk -v top="$1" 'index($0, top) == 1 {
    n = split(substr($0, length(top) + 1), part, "/")
    if (part[1] == "trunk") print "trunk"
    else if (part[1] == "branches" && n > 1 && part[2] != "") print "branches/" part[2]
  }' | sort -u
}

while read -r project path; do
  [ -n "$project" ] || continue
  branches "${path:+${path%/}/}" | while read -r branch; do
    drover change send --project "$project" --branch "$branch" --revision "$revision" --author "$author" --message "$message" >/dev/null ||
      say "could not tell $project; the poller will find it"
  done
done <"$list"
