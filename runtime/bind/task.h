/* task: what the two sides of a pool share: who submits (task.c) and who works
 * (work.c).
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TASK_H
#define MP_TASK_H

#include "../msg/board.h"
#include "../proc/process.h"
#include "message.h"

extern const char mp_task_pool[];  /* whom errors name that a task's author sees */

/* Pushes nil and a reason; 2. */
int mp_task_none(lua_State *L, const char *why);
/* An argument of that type, open; what names it in the error. */
mp_ref *mp_task_ref(lua_State *L, int idx, enum mp_type type, const char *call, const char *what);
/* A worker's line of a board, or NULL: it has none with that number. */
mp_board_word *mp_task_line(const mp_ref *r, lua_Integer k);

/* Takes the id off a message. */
int64_t mp_task_take_id(mp_in *in);
/* Makes a message of n values, waiting until there is memory: MP_OK or as
 * mp_message_room. */
int mp_task_make(lua_State *L, mp_ref *r, int64_t id, int first, int n, int64_t deadline,
                 const char *call, mp_out *out);
/* Takes a list for a stretch (mp_decode_into), or nil, off the stack and pushes a
 * message's values; or false, and why there are none. leased: it stays the
 * queue's. */
bool mp_task_decode(lua_State *L, mp_state *st, mp_in *in, bool leased);

#endif
