/* Taking a tree apart by directory descriptors. */
#ifndef WORKER_REMOVE_H
#define WORKER_REMOVE_H

/* Removes `name` in the folder dir (a descriptor, one of os_folder_beneath() will do) with all it holds. Links are removed, not followed; one
   descriptor is open at a time, whatever the depth. Nothing there is fine. 0, or -1 and errno; then the rest stays. */
int remove_tree(int dir, const char *name);
#endif
