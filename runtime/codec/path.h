/* path: the error for a value that cannot travel.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_PATH_H
#define MP_CODEC_PATH_H

#include "state.h"

/* Where the encoder is: argument arg (1-based) of nargs, and inside it the
 * first nframes frames of the codec. */
typedef struct mp_place {
	const char *call;
	int arg, nargs;
	size_t nframes;
} mp_place;

/* Raises "CALL: cannot send WHAT (at PATH)HINT". */
_Noreturn void mp_refuse(lua_State *L, const mp_codec *c, const mp_place *at, const char *what,
                         const char *hint);

/* Raises it for the value on top, which is of no kind that can travel. */
_Noreturn void mp_refuse_value(lua_State *L, const mp_codec *c, const mp_place *at);

#endif
