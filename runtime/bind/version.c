/* version: the library's version, from the public header alone: that one
 * shares names with the core's.
 *
 * SPDX-License-Identifier: MIT */
#include "mprun.h"

const char *mp_bind_version(void);

const char *mp_bind_version(void) { return MP_VERSION; }
