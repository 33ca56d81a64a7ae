/* message: Lua values <-> messages of the core.
 *
 * The codec knows no shared memory and the core no Lua; this is the joint.
 * Invariant: whatever raises, a message that was taken is finished exactly
 * once, and a handle in it is never without a holder: its userdata exists
 * (and owns a holder bit) before the message is finished.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_MESSAGE_H
#define MP_MESSAGE_H

#include "../msg/queue.h"
#include "bind.h"

/* How the codec meets handles: for mp_codec_of. */
extern const mp_codec_hooks mp_message_hooks;

/* Encodes the values first..first+n-1 into a private message. Raises what
 * cannot travel, with its path. 0, MP_NOMEM, MP_TOOBIG. */
int mp_message_make(lua_State *L, mp_state *st, int first, int n,
                    const char *call, mp_out *out);

/* The same of a task or a result: its id comes first. */
int mp_message_make_task(lua_State *L, mp_state *st, uint64_t id, int first, int n,
                         const char *call, mp_out *out);

/* Pushes the values of a message that was taken, and finishes it, also if
 * that raises (a leased one stays in work). Returns how many values. */
int mp_message_open(lua_State *L, mp_state *st, mp_in *in, const char *call);

/* The same with a list, at stack index into, for a stretch in it: see
 * mp_decode_into. */
int mp_message_open_into(lua_State *L, mp_state *st, mp_in *in, int into, const char *call);

/* The same, but the caller finishes it, or keeps it (a lease). held: my
 * holder bits of the handles it lists are set already. */
int mp_message_read(lua_State *L, mp_state *st, const mp_in *in, bool held,
                    const char *call);

/* lua_pcall without a message handler; still: with the collector at rest, so
 * that no finalizer runs. */
int mp_message_pcall(lua_State *L, int nargs, int nresults, bool still);

/* Pushes a table that keeps the objects whose handles a message lists, so
 * that mp_decode finds them; held as above. */
void mp_message_hold(lua_State *L, const mp_in *in, bool held);

/* mp_interrupt for a wait on r; a handler that closed r meanwhile has taken
 * away what the wait is about: that raises. */
void mp_message_interrupt(lua_State *L, mp_ref *r, const char *call);

/* Puts the outs into the queue in order, waiting until the deadline and
 * running signal handlers meanwhile, which may raise: call it protected, and
 * drop outs[*done..n) afterwards, whatever happened. 0 or a reason. */
int mp_message_put(lua_State *L, mp_ref *r, mp_queue *q, mp_out *outs, uint32_t n,
                   int64_t deadline, const char *call, uint32_t *done);

/* Puts one message, which is the queue's or dropped afterwards, whatever
 * happens; q lives while r is not closed. 0 or a reason; may raise what a
 * signal handler does. */
int mp_message_send(lua_State *L, mp_ref *r, mp_queue *q, mp_out *out,
                    int64_t deadline, const char *call);

/* Waits until memory was given back. 0: try again; MP_TIMEOUT. May raise. */
int mp_message_room(lua_State *L, mp_ref *r, int64_t deadline,
                    const char *call);

/* Raises for a message that no waiting makes fit. */
_Noreturn void mp_message_toobig(lua_State *L, mp_state *st, const char *call);

#endif
