/* How ssh is run, and what a private key is. */
#include "master/conf/vcs_ssh.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

/* - Nothing of the user's or the host's settings, agents or other keys.
   - A site pins fingerprints, and known_hosts wants keys: so ssh asks for the lines of known_hosts (KnownHostsCommand, OpenSSH 8.5), and is given the server's own key where that is one of the pins. Else it
     says what the server's is, for whoever reads the log. Of the words of that command only those with % are replaced, by ssh, and become arguments: nothing is ever pasted into the script.
   - Kinds of host keys in the order of libssh2, by which the master's looks go, so that one pin of a server with several keys does for both.
   - A server that falls silent ends it, also where whoever began it is dead. */
const char vcs_ssh_command[] =
  "ssh -F /dev/null -i \"$" VCS_SSH_KEY "\" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=3"
  " -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no"
  " -o HostKeyAlgorithms=ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,ssh-ed25519,rsa-sha2-512,rsa-sha2-256"
  " -o 'KnownHostsCommand=/bin/sh -c \"case \\\" $" VCS_SSH_HOSTS " \\\" in *\\\" $1 \\\"*) echo \\\"$2 $3 $4\\\" ;; *) [ $1 = NONE ] || echo \\\"the host key of $2 is $1, which is none of host_keys\\\" >&2 ;; esac\" sh %f %H %t %K'";

static int digit(char c)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(letters, c) : NULL;

  return at ? (int)(at - letters) : -1;
}

/* The bytes between the first line and the last. out: as many as the text has. */
static size_t decode(const char *text, unsigned char *out)
{
  const char *p = strchr(text, '\n');
  unsigned bits = 0, have = 0;
  size_t n = 0;

  for (; p && *p && *p != '-'; p++) {
    int d = digit(*p);
    if (d < 0)
      continue;
    bits = bits << 6 | (unsigned)d;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[n++] = (unsigned char)(bits >> have);
    }
  }
  return n;
}

bool vcs_key_is_rsa(const char *key)
{
  static const char name[] = "\0\0\0\7ssh-rsa"; /* OpenSSH's own form */
  static const unsigned char oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01 }; /* PKCS #8 */
  unsigned char *bytes;
  size_t n;
  bool rsa;

  if (str_starts(key, "-----BEGIN RSA "))
    return true;
  n = strlen(key);
  bytes = xmalloc(n + 1);
  n = decode(key, bytes);
  rsa = memmem(bytes, n, name, sizeof name - 1) || memmem(bytes, n, oid, sizeof oid);
  mem_wipe(bytes, n);
  free(bytes);
  return rsa;
}
