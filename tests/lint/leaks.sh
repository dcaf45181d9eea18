#!/bin/bash
# Nothing of the machine that a file was written on, no foreign registries, nothing about how the work was done.
cd "$(dirname "$0")/../.." || exit 1
files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -co --exclude-standard
  else
    find . -type f -not -path './build*' | sed 's,^\./,,'
  fi
}
bad=0
refuse() { # what, pattern, further options of grep
  local hits
  hits=$(files | grep -v -x 'tests/lint/leaks.sh' | xargs -d '\n' grep -n -I $3 -e "$2" 2>/dev/null | cut -c1-160)
  [ -z "$hits" ] && return
  echo "$hits" | sed "s/\$/   ($1)/"
  bad=1
}
# The folder of this very tree and the one around it, where that is not a place that every system has.
top=$PWD around=$(dirname "$PWD")
refuse "this machine's path" "$top" -F
case $around in
/ | /tmp | /var/tmp | /srv | /opt | /home | /root | /usr/src | /usr/local/src) ;;
*) refuse "this machine's path" "(^|[^A-Za-z0-9_.})*\$])$around/" -E ;;
esac
refuse "somebody's home" '(^|[^A-Za-z0-9_.})*$])/(root|home/[a-z]+)/' -E
refuse "somebody's temporary file" '/tmp/(?!drover|[A-Za-z_-]+[.-]X{6})[A-Za-z0-9_-]{2,}' -P
refuse "a registry's address" '(registry\.npmjs\.org|pypi\.org|files\.pythonhosted\.org|proxy\.golang\.org|crates\.io|docker\.io|deb\.debian\.org)' -E
refuse "how the work was done" '\b(as (instructed|requested) by|per the brief|my brief|the lead (says|said|commits)|sub-?agents?|ai assistant|language model|co-?pilot)\b' -Ei
exit $bad
