#ifndef WORKER_WINDOWS_FILES_WINDOWS_H
#define WORKER_WINDOWS_FILES_WINDOWS_H
/* The work folder's path, which lives as long as the program: before files_init(). */
void files_below(const char *work);
#endif
