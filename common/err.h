/* Error codes: what happened, and whether trying again makes sense. Text for people travels beside the code. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

enum err_class { ERR_CLASS_OK, ERR_CLASS_RETRY, ERR_CLASS_NEVER };

/* code, class, text */
#define ERR_LIST(X)                                                            \
  X(ERR_OK, OK, "ok")                                                          \
  X(ERR_AGAIN, RETRY, "more is needed")                                        \
  X(ERR_AWAY, RETRY, "the other side is away")                                 \
  X(ERR_BUSY, RETRY, "busy")                                                   \
  X(ERR_TIMEOUT, RETRY, "it took too long")                                    \
  X(ERR_NOSPACE, RETRY, "no space left")                                       \
  X(ERR_IO, RETRY, "input or output failed")                                   \
  X(ERR_FENCED, NEVER, "somebody else owns it now")                            \
  X(ERR_SYNTAX, NEVER, "not well-formed")                                      \
  X(ERR_TOOBIG, NEVER, "larger than the limit")                                \
  X(ERR_UNKNOWN, NEVER, "unknown")                                             \
  X(ERR_BADARG, NEVER, "bad argument")                                         \
  X(ERR_NOTFOUND, NEVER, "not found")                                          \
  X(ERR_EXISTS, NEVER, "exists already")                                       \
  X(ERR_DENIED, NEVER, "not allowed")                                          \
  X(ERR_CORRUPT, NEVER, "contents do not match their checksum")                \
  X(ERR_FAILED, NEVER, "failed")

enum err {
#define X(code, class, text) code,
  ERR_LIST(X)
#undef X
};

const char *err_text(enum err e);
enum err_class err_class(enum err e);
#endif
