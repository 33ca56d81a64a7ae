/* process: start, end and outcome of the runtime's processes.
 *
 * Layout: the object's body below; a started one has a slot as well, which
 * is reused after its end, the object is not: late joiners read the object.
 * Invariant: status is written once, before the slot is freed, by whoever
 * learns it first (its creator that reaps it, the keeper that reads it from
 * the zombie): all write the same value.
 * Crash: a starter claims the object; killed before it says STARTED, when slot
 * and object are ready, the process was never started. A creator killed
 * between reserve and fork leaves a RESERVED slot that its sweep revokes;
 * killed after fork, the child finds out when it enters, and ends. A child
 * killed before it enters is noticed by its pid.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PROCESS_H
#define MP_PROCESS_H

#include "../shm/eventcount.h"
#include "../shm/stored.h"
#include "runtime.h"

enum { MP_P_NEW, MP_P_STARTED, MP_P_ENDED };

#define MP_STATUS_KNOWN 0x10000u  /* status word: KNOWN | value & 0xffff, as wait(2) gives it */
#define MP_STATUS_LOST  0x20000u  /* ended, but nobody could read how */

#define MP_GRACE 1.0              /* seconds from SIGTERM to SIGKILL */

typedef struct mp_process {
	mp_word state;             /* MP_P_* */
	mp_word status;
	mp_ec ec;                  /* joiners */
	mp_word pid;
	mp_word aid;
	mp_word parent;            /* aid of the creator */
	mp_word ppid;
	mp_word daemon;
	mp_word children;          /* how many it created: for default names */
	mp_word leaving;           /* as status; written by itself just before it exits */
	mp_word unkept;            /* 1: there was no memory for its result or error */
	mp_word starter;           /* aid of who starts it; 0: nobody has begun to */
	mp_word thread;            /* 1: a thread (thread.h) of the process with that pid */
	mp_word threads;           /* how many threads it created: for default names */
	mp_word tid;               /* a thread's number in the system; 0: it has not begun */
	mp_word poke;              /* the signal that a thread listens to */
	_Atomic uint64_t starttime;
	_Atomic uint64_t result;   /* stored: what target returned */
	_Atomic uint64_t error;    /* stored: the error that it raised */
	_Atomic uint64_t given[2]; /* stored: what a thread begins with */
	mp_handle self;
	mp_handle creator;         /* its creator's process object; a thread's: its process's */
	char identity[64];         /* "" in main, "2:1" for the first child of main's second */
	char name[128];
} mp_process;

/* A new process object, not started. name NULL: Process-N, as its creator
 * counts. */
int mp_process_create(mp_self *me, const char *name, bool daemon, mp_handle *h);
mp_process *mp_process_body(const mp_shm *s, mp_handle h);
/* The body, held by me until mp_process_unhold: without a holder it could go
 * any moment. NULL: it is gone. *held: I was a holder before, and stay it. */
mp_process *mp_process_hold(mp_self *me, mp_handle h, bool *held);
void mp_process_unhold(mp_self *me, mp_handle h, bool held);
/* The handle of the process that me is, or is a thread of. */
mp_handle mp_process_of(const mp_self *me);
/* Only before start. */
void mp_process_rename(mp_process *p, const char *name);

/* Forks. In the creator: 0 and *pid, or -errno with *why. In the child: 1,
 * with rt re-entered as the child; the caller then runs the target and ends by
 * mp_process_exit. Flushes stdio before. -EALREADY: it was started before. */
int mp_process_fork(mp_runtime *rt, mp_handle h, pid_t *pid, const char **why);
/* The child's orderly end: its children are joined (daemons ended), stdio
 * flushed, the slot marked clean, _exit(status). Never returns. */
_Noreturn void mp_process_exit(mp_runtime *rt, int status);

/* All that follow: p is held by the caller.
 * Waits for its end. 0, MP_TIMEOUT, MP_INTERRUPTED, -EINVAL (not started),
 * -ECANCELED (its start failed meanwhile).
 * When it returns 0 nothing that the process held is held any more. */
int mp_process_join(mp_runtime *rt, mp_self *me, mp_process *p, int64_t deadline);
/* Asks the system, so it is right the moment the process has ended. */
bool mp_process_alive(mp_runtime *rt, mp_process *p);
/* Exit status as multiprocessing counts it: n, or -signal. false: still
 * running or (state MP_P_ENDED) unknown. */
bool mp_process_code(const mp_process *p, int *code);
/* Sends a signal, never to a reused pid. 0 or -errno (-ESRCH: ended). */
int mp_process_signal(mp_runtime *rt, mp_process *p, int sig);
/* A descriptor that is readable once it has ended; the runtime's, closed by
 * mp_process_forget. fd or -errno. */
int mp_process_sentinel(mp_runtime *rt, mp_process *p);
void mp_process_forget(mp_runtime *rt, mp_handle h);

/* Joins the children and threads that are no daemons, then ends the daemons. 0 or
 * MP_INTERRUPTED (then go on by calling it again). */
int mp_process_end_children(mp_runtime *rt);
/* A thread that ends by force: ends its daemons; the other children go on as
 * the process's. */
void mp_process_abandon(mp_runtime *rt);

/* Notes the end of a process: status (wait(2) format, -1: unknown), wakes
 * joiners. By the reaper or the keeper, after mp_slot_kill. */
void mp_process_ended(mp_self *me, mp_process *p, int status);
/* A dead actor's end with all that belongs to it: slot, status, sweep. */
void mp_process_bury(mp_self *me, mp_aid aid, mp_handle h, int status);
/* Without a keeper: probes every actor and buries the dead. */
void mp_process_look(mp_self *me);

extern const mp_type_ops mp_process_ops;

#endif
