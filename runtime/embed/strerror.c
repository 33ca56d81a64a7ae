/* strerror: the version, and result codes in words.
 *
 * The public header repeats the core's list of statuses, so that it stands
 * alone. This file sees both, the core's under other names, and compares.
 *
 * SPDX-License-Identifier: MIT */
#define MP_OK          CORE_OK
#define MP_TIMEOUT     CORE_TIMEOUT
#define MP_EMPTY       CORE_EMPTY
#define MP_FULL        CORE_FULL
#define MP_EOF         CORE_EOF
#define MP_CLOSED      CORE_CLOSED
#define MP_ABANDONED   CORE_ABANDONED
#define MP_INTERRUPTED CORE_INTERRUPTED
#define MP_NOMEM       CORE_NOMEM
#define MP_TOOBIG      CORE_TOOBIG
#include "base/status.h"
#undef MP_OK
#undef MP_TIMEOUT
#undef MP_EMPTY
#undef MP_FULL
#undef MP_EOF
#undef MP_CLOSED
#undef MP_ABANDONED
#undef MP_INTERRUPTED
#undef MP_NOMEM
#undef MP_TOOBIG
#undef MP_STATUS_H
#include "mprun.h"

#include <string.h>

#define SAME(name) \
	_Static_assert((int)CORE_##name == (int)MP_##name, "mprun.h: MP_" #name)
SAME(OK);
SAME(TIMEOUT);
SAME(EMPTY);
SAME(FULL);
SAME(EOF);
SAME(CLOSED);
SAME(ABANDONED);
SAME(INTERRUPTED);
SAME(NOMEM);
SAME(TOOBIG);

const char *mp_version(void)
{
	return MP_VERSION;
}

const char *mp_strerror(int code)
{
	switch (code) {
	case MP_OK:          return "success";
	case MP_TIMEOUT:     return "timeout";
	case MP_EMPTY:       return "empty";
	case MP_FULL:        return "full";
	case MP_EOF:         return "end of file";
	case MP_CLOSED:      return "closed";
	case MP_ABANDONED:   return "the last holder died holding it";
	case MP_INTERRUPTED: return "interrupted";
	case MP_NOMEM:       return "shared memory is full";
	case MP_TOOBIG:      return "larger than shared memory";
	case MP_ESYNTAX:     return "syntax error in a script";
	case MP_ESCRIPT:     return "error in a script or flow";
	default:
		/* For errno values glibc and musl return constant strings. */
		if (code < 0 && code > MP_ESYNTAX && strerror(-code))
			return strerror(-code);
		return "unknown result code";
	}
}
