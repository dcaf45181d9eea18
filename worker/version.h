/* Which version of drover-worker this is. One file of the program knows, so that the tests can link a later one from the same objects. */
#ifndef WORKER_VERSION_H
#define WORKER_VERSION_H

#define VERSION_MARK "@(#)drover-worker " /* a master finds it in the file, to know which version it hands out (master/workers/offer.c) */

extern const char worker_marked[];
#define worker_version (worker_marked + sizeof VERSION_MARK - 1)
#endif
