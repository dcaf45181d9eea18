/* What says by what a repository is reached: the parts of addresses, kinds of keys, what programs read of a credential, and what they say when it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/conf/vcs_ssh.h"
#include "master/conf/vcs_url.h"
#include "master/steps/login.h"
#include "proto/records.h"

static void servers(void **state)
{
  static const struct { const char *a, *b; bool same; } pairs[] = {
    { "https://git.example.org/a", "https://ann@GIT.example.org:443/b/c", true }, { "https://h/a", "http://h/a", false },          { "https://h/a", "https://h:8443/a", false },
    { "git@h:a/b.git", "ssh://git@h:22/a/b.git", true },                          { "git@h:a", "git@h2:a", false },                 { "ssh://h/a", "ssh://h:2222/a", false },
    { "https://h/a", "https://h.evil.example/a", false },                         { "https://h@evil/a", "https://h/a", false },     { "svn://h/x", "svn://h:3690/y", true },
    { "/srv/a", "/srv/a", false },                                                { "file:///srv/a", "file:///srv/a", false },     { "https://[::1]:80/a", "https://[::1]:80/b", true },
  };
  static const struct { const char *url, *server, *user; } parts[] = {
    { "https://ann@h:8080/a", "https://h:8080/", "ann" },   { "https://a%40b:pw@h/a", "https://h/", "a@b" }, { "https://h/a@b", "https://h/", NULL },
    { "ssh://git@h/a", "ssh://h/", "git" },                 { "git@h:a", NULL, "git" },                      { "/srv/a", NULL, NULL },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(pairs); i++) {
    if (vcs_url_same_server(pairs[i].a, pairs[i].b) != pairs[i].same)
      fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    assert_int_equal(vcs_url_same_server(pairs[i].b, pairs[i].a), pairs[i].same);
  }
  for (size_t i = 0; i < COUNT(parts); i++) {
    char *server = vcs_url_server(parts[i].url), *user = vcs_url_user(parts[i].url);
    assert_true(server ? parts[i].server && !strcmp(server, parts[i].server) : !parts[i].server);
    assert_true(user ? parts[i].user && !strcmp(user, parts[i].user) : !parts[i].user);
    free(server);
    free(user);
  }
  assert_true(vcs_url_is_safe("https://h/a") && vcs_url_is_safe("http://127.0.0.1:80/a") && vcs_url_is_safe("http://u@localhost/a") && vcs_url_is_safe("http://[::1]:1/"));
  assert_false(vcs_url_is_safe("http://h/a") || vcs_url_is_safe("http://localhost.evil/a") || vcs_url_is_safe("http://127.0.0.1@evil/a") || vcs_url_is_safe("git://127.0.0.1/a"));
}

/* Made for this test, good for nothing. */
static const struct { const char *what; bool rsa; const char *text; } keys[] = {
  { "OpenSSH, RSA", true,
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAlwAAAAdzc2gtcn\n"
    "NhAAAAAwEAAQAAAIEAphP8e+Vpaz4R+1P3h5/73ITVitSWp16Fl0V2HRrIcFrTMgxkEL7f\n"
    "2acu+OAMNnTVWAycAy58PHlbjKO1oNtHvxj5Xvl3aHXJ+dswE7DBLqsKp3+eDvyP7p2N1W\n"
    "erAaElf8cXmnzsHgtlk2yfL/w5x+5aTPNCBCCWRPadBm7a1T0AAAH4C2JHcAtiR3AAAAAH\n"
    "c3NoLXJzYQAAAIEAphP8e+Vpaz4R+1P3h5/73ITVitSWp16Fl0V2HRrIcFrTMgxkEL7f2a\n"
    "cu+OAMNnTVWAycAy58PHlbjKO1oNtHvxj5Xvl3aHXJ+dswE7DBLqsKp3+eDvyP7p2N1Wer\n"
    "AaElf8cXmnzsHgtlk2yfL/w5x+5aTPNCBCCWRPadBm7a1T0AAAADAQABAAAAgGUvPiBaSJ\n"
    "0vRxNiOCion3HeeKBKH7O/UhM1Hd5jqAVUQOJ4TCsrsATS6Dp3ftla23T20cLaepT5t357\n"
    "a7iigRYAZlTwZ8S80jogQX1My13k3QHetfhADeOEhETYI1K8nz1kmkl56+Kz8NeElCXMcH\n"
    "tJDVyQjEWH+hQlcE2LPJG9AAAAQAMLS7g6yR7Yo5hRJc8wOMANPZv09IDIIdhDtUZ9o3pS\n"
    "Wj3/0ou2zH7gygx2hjuz8ws8Bzgpt4fXSizbudLxZBIAAABBANemgyyO3FOWsQtmE9Azg0\n"
    "qNZplACnbxcLmbITcyB+pqBKehzNlWtwo95ksiw+UTwbwFmnbNv22Og9tbIzVb6McAAABB\n"
    "AMUm/wUS7p8WfB5tVrRk2aV4Tj5nJ3UYmWfMqa9VXhColIGtm4Ar1cF8inFKZfHOjjXqxV\n"
    "YQWleyPrVgrnsqtdsAAAAAAQID\n"
    "-----END OPENSSH PRIVATE KEY-----\n" },
  { "PEM, RSA", true,
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXgIBAAKBgQDESHncOCBcFFORCKMNIL+tjQ5nAJkYKerzz0i/K4qB79jXtGgp\n"
    "gC96w47b/CxgjEI687/jokxeEQdUfgcHZm9T2kjyobq1/uNWb0rBow0r82VUbwzC\n"
    "rgMUeRiA3ERwMk0Kre3ixELPl/sU0vD+Gp7/NLsAdExzCVwd9pOK73blOQIDAQAB\n"
    "AoGBAJw++UpVH2VNBOyZzHmhzRNRCtrxfezfSVmFcupCtcITdDDZOmV21dTKoQj6\n"
    "pzS/0eTtrZ19z3693XDj1aKNZyYafuSMBwNijGTdSlhhxIHLD+h0GHCBiYA3y5GE\n"
    "8WmnxC/seUkGqx0MoGESGfzTcHzssCoAqb/Y9Fy/fbdgwhgRAkEA6xe+oqYbLeeP\n"
    "kTTf7p+xZ3N0xxxWZsct0Ad9q/W8aBvGQ/ZPX27L8A7IqKCpiatC47htSr2JTJqi\n"
    "JUo6DE3EVQJBANW9Kz9U6SBfQw3EWzHnSl7ekQTuBTqKCdaSQT8kWxKtKfiYv3mO\n"
    "IhxhvwiuF1kCYG87jZQw/jTXjrDpaqW+4VUCQQDUAXTEPuGR0xoQS8uJ6O9WKLNt\n"
    "/+sXApYY3TiCw7eldy6kCVLo8ATvtpVUJJbfdNd8fsvos+ZGc8i3simJAPSFAkAN\n"
    "zvzeSJQPHVhtqUPjA3hQjLx9vwrjb0uXazd/5s9jc4CEqQmlxsL5Zm87FlQ30el9\n"
    "BjHtYwTpUQvM7iePsbdJAkEAjqT1FvA4q9XvOQBicqnVmROKLe9e8J0bi+wlrjA+\n"
    "yrkuTu8onUerlu3sBctnxcyUAZhCZ0HnkBfh07xUVMAP3A==\n"
    "-----END RSA PRIVATE KEY-----\n" },
  { "PKCS #8, RSA", true,
    "-----BEGIN PRIVATE KEY-----\n"
    "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAJ6CwsCvSx8idouK\n"
    "tcIyJ3eCnMtPQbwSnbnf5Whb4EXf33135q6DoCrtFDXR8kra69Czc81jPR40yoeu\n"
    "rZHSTLt4/ArGLEtGkMRMmCz/wPsG7QAyGs+4JA6GNSNgQEkRADWVitaiOx1XyCbp\n"
    "I6vGFCAFwaxRFV2qtKGS2P+oIwHFAgMBAAECgYAm7jam3Ga23t/+pbK+X1MSJyIb\n"
    "TPv4FRpn7HWLjAUpJDLfvfMKKYnNAS1ViprXh60jNO/cIeOA57ZWXLCEgAIYJkGh\n"
    "Ty/e3YgAOpQhLufgOMNeyBRv4VITQ98wGA6a2U2ySKF0lZX7ZHPYNoahhfOWlXoB\n"
    "1zSq9jJlSXNNZ1EUAQJBAM8hzHGDP9IZxGhYKDIoa/SS8ZOnbK+53QK6NLk9qflQ\n"
    "EpmCR5gyjdZK3T8W+UD24QRhBmn8+IEIrpzlFSKiEX0CQQDD6F+nWGhhBANpx3dE\n"
    "i5g4+X3lZcXubW26qXAQYgCvN9dOKzYdttvvsDxER1pFq0wYBChtm6s5fbTvdFDn\n"
    "wSPpAkAME49k6t8Us9Xks4ccbYjlyI93KWLH2BFPsGWUi0jWtVlwQ81CzWfBn7nI\n"
    "jOFZbUtvQuzpzwr6EvSDR0P1MffNAkB1mpOBdBME2lHqODGi1mIFIdCv2w6c+Nf8\n"
    "TCbXzt02UkFPzaTo5ZLWKmejXWoVlKVTbXuPgPmiw5HQhXTkCw+xAkEAo1IJUcZs\n"
    "3prJKSNuN+drDtzhbl5iMlIgVIRqUN0XoDW2GhaFjCKDVgsQ57PWQHfVkWSSyAmh\n"
    "7WYwEJzUmO34VA==\n"
    "-----END PRIVATE KEY-----\n" },
  { "OpenSSH, ed25519", false,
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACDziCWp82xBh3AsdLJXjxjeteVwdd7Da1U566HCyJhcSgAAAIh13doodd3a\n"
    "KAAAAAtzc2gtZWQyNTUxOQAAACDziCWp82xBh3AsdLJXjxjeteVwdd7Da1U566HCyJhcSg\n"
    "AAAEAMrfenOVKJqNKnXPoyGMnN8H+M8bt5QbbJp8Wo4fu60/OIJanzbEGHcCx0slePGN61\n"
    "5XB13sNrVTnrocLImFxKAAAAAAECAwQF\n"
    "-----END OPENSSH PRIVATE KEY-----\n" },
  { "OpenSSH, ECDSA", false,
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS\n"
    "1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQTtZNzaly3KrIyLxMJUvuGDQR0mM8rp\n"
    "726GoPuiYxELvH3T2CayJ3xHi9fQCHUFR4acVvO0FCnAnKqLdwPDhw5NAAAAmK8CORyvAj\n"
    "kcAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBO1k3NqXLcqsjIvE\n"
    "wlS+4YNBHSYzyunvboag+6JjEQu8fdPYJrInfEeL19AIdQVHhpxW87QUKcCcqot3A8OHDk\n"
    "0AAAAgNXxArwxGeFpX1csa1czHRucHPV9ANMtDwp2XUtHBTR0AAAAA\n"
    "-----END OPENSSH PRIVATE KEY-----\n" },
  { "PKCS #8, ECDSA", false,
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3CebOszcP33ProDb\n"
    "E9klABWFuwN7bJCPMkW30FvLGYuhRANCAASKsbhnxjZAQTJYKGcOyCtgYSs2to7/\n"
    "O60AbECLrY/x4qYgkP+UxDz3fuVMYZNLT9XEaO7KXNVWZk2xrMZbEABX\n"
    "-----END PRIVATE KEY-----\n" }
};

static void kinds_of_keys(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(keys); i++)
    if (vcs_key_is_rsa(keys[i].text) != keys[i].rsa)
      fail_msg("%s", keys[i].what);
  assert_false(vcs_key_is_rsa(""));
  assert_false(vcs_key_is_rsa("-----BEGIN OPENSSH PRIVATE KEY-----"));
}

static void check_made(enum vcs_login kind, enum vcs vcs, const char *url, const char *user, const char *secret, const char *want)
{
  const struct step_login l = { .kind = kind, .user = user };
  char *made = login_made(&l, vcs, url, secret);

  assert_string_equal(made, want);
  free(made);
}

static void what_programs_read(void **state)
{
  (void)state;
  check_made(VCS_LOGIN_KEY, VCS_GIT, "git@h:a", NULL, "KEY", "KEY\n");
  check_made(VCS_LOGIN_KEY, VCS_HG, "ssh://h/a", NULL, "KEY\n", "KEY\n");
  check_made(VCS_LOGIN_PASSWORD, VCS_GIT, "https://h:8443/a", NULL, "tok", "https://x-access-token:tok@h:8443\n");
  check_made(VCS_LOGIN_PASSWORD, VCS_GIT, "https://a%40b@h/a", NULL, "p:/@ %", "https://a%40b:p%3A%2F%40%20%25@h\n");
  check_made(VCS_LOGIN_PASSWORD, VCS_GIT, "https://h/a", "a/b", "tok", "https://a%2Fb:tok@h\n");
  check_made(VCS_LOGIN_BEARER, VCS_GIT, "https://h/a", NULL, "tok", "Authorization: Bearer tok");
  check_made(VCS_LOGIN_PASSWORD, VCS_SVN, "svn://h/a", "ann", "pw", "pw\n");
  check_made(VCS_LOGIN_PASSWORD, VCS_HG, "https://ann@h/a", NULL, "pw", "[auth]\ndrover.prefix = https://h/\ndrover.username = ann\ndrover.password = pw\n");
}

/* What stands in a command is never what is secret, and only what wants it is given it. */
static void what_stands_in_commands(void **state)
{
  static const enum vcs kinds[] = { VCS_GIT, VCS_SVN, VCS_HG };

  (void)state;
  for (size_t v = 0; v < COUNT(kinds); v++)
    for (int kind = VCS_LOGIN_NONE; kind <= VCS_LOGIN_BEARER; kind++) {
      const struct step_login l = { .kind = (enum vcs_login)kind, .user = "ann", .pins = "SHA256:a SHA256:b" };
      const char *options[LOGIN_OPTIONS_MAX];
      char *held;
      struct buf spec;
      int n = login_options(&l, kinds[v], "https://h:1/a", options, &held);
      assert_in_range(n, 0, LOGIN_OPTIONS_MAX);
      buf_init(&spec, BUF_NO_MAX);
      login_put(&l, kinds[v], &spec);
      assert_int_equal(login_wanted(spec.data, spec.len), kind != VCS_LOGIN_NONE);
      if (kind == VCS_LOGIN_NONE)
        assert_int_equal(n + (int)spec.len, 0);
      if (kind == VCS_LOGIN_BEARER && kinds[v] == VCS_GIT)
        assert_string_equal(options[0], "--config-env=http.https://h:1/.extraHeader=DROVER_LOGIN");
      if (kind == VCS_LOGIN_KEY)
        assert_non_null(memmem(spec.data, spec.len, "DROVER_SSH_HOST_KEYS=SHA256:a SHA256:b", 39));
      free(held);
      buf_free(&spec);
    }
}

static void refusals(void **state)
{
  static const struct { const char *errors, *said; } texts[] = {
    { "Cloning\nroot@h: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n", "root@h: Permission denied (publickey)." },
    { "No ED25519 host key is known\nthe host key of h is SHA256:x, which is none of host_keys\nHost key verification failed.\n", "the host key of h is SHA256:x, which is none of host_keys" },
    { "fatal: Authentication failed for 'https://h/\xc3\xa9'", "fatal: Authentication failed for 'https://h/?\?'" },
    { "svn: E170001: Authentication error", "svn: E170001: Authentication error" },
    { "abort: authorization failed\n", "abort: authorization failed" },
    { "fatal: couldn't find remote ref", NULL },
    { "", NULL },
  };
  char said[LOGIN_SAID_MAX + 1];

  (void)state;
  for (size_t i = 0; i < COUNT(texts); i++) {
    assert_int_equal(login_refused(texts[i].errors, said), texts[i].said != NULL);
    if (texts[i].said)
      assert_string_equal(said, texts[i].said);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(servers), cmocka_unit_test(kinds_of_keys), cmocka_unit_test(what_programs_read), cmocka_unit_test(what_stands_in_commands), cmocka_unit_test(refusals) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
