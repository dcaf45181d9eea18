#include "worker/version.h"

const char worker_marked[] = VERSION_MARK DROVER_VERSION;
