/* keeper: the process that makes recovery fast.
 *
 * It watches every process of the runtime through pidfds. When one ends it
 * notes how, cleans up after it and wakes whoever waits for any of it. When
 * the owner ends in any way it kills all others. It also gives back memory
 * that is not used, and collects objects that nobody can reach. It looks for
 * deadlocks and tells the owner of one (deadlock.h).
 *
 * Invariant: correctness never depends on it. Killed, waits find deaths by
 * their slices, and the owner starts another, which finds all it has to know
 * in the slots.
 * It may be forked from a program with threads: async-signal-safe calls only,
 * no malloc, no stdio, no Lua.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_KEEPER_H
#define MP_KEEPER_H

#include "runtime.h"

/* What the forked child does; signals are blocked, and stay so. */
_Noreturn void mp_keeper_run(mp_runtime *rt, mp_aid aid);
/* Kills every process of the runtime but the caller, until none is left, and
 * their commands. */
void mp_keeper_kill_all(mp_self *me);

#endif
