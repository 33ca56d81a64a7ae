/* crash: named points at which a test may kill the process.
 *
 * They exist only in builds with -DMP_CRASHPOINTS. mp_crash_point is then
 * called with the name; a test sets mp_crash_hook.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CRASH_H
#define MP_CRASH_H

#ifdef MP_CRASHPOINTS
extern void (*mp_crash_hook)(const char *name);
#define MP_CRASHPOINT(name) do { if (mp_crash_hook) mp_crash_hook(name); } while (0)
#else
#define MP_CRASHPOINT(name) ((void)0)
#endif

#endif
