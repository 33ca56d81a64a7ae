/* crash: the hook of test builds; see crash.h.
 *
 * SPDX-License-Identifier: MIT */
#include "crash.h"

#ifdef MP_CRASHPOINTS
void (*mp_crash_hook)(const char *name);
#else
typedef int mp_crash_nothing;  /* ISO C forbids an empty unit */
#endif
