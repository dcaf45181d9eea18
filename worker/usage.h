/* How much room a tree takes on its disk. */
#ifndef WORKER_USAGE_H
#define WORKER_USAGE_H
#include <stdbool.h>
#include <stdint.h>

#define USAGE_ENTRIES_MAX 2000000
#define USAGE_DEPTH_MAX 200
#define USAGE_MS 20000

struct usage {
  int64_t bytes, entries; /* bytes: of blocks on the disk; of what has several names, each name's share */
  bool complete;          /* false: a limit was met, or a folder can't be read; then it is at least so much */
};

/* Of all below the folder dir (a descriptor for reading; closed), itself counted. Links are not followed, other file systems not entered, nothing but
   folders is opened; at most USAGE_ENTRIES_MAX entries, USAGE_DEPTH_MAX levels (a descriptor each) and USAGE_MS are spent. */
void usage_measure(int dir, struct usage *u);
#endif
