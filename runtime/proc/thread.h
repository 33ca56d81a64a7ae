/* thread: threads of this process that are actors of their own.
 *
 * A thread has a slot, a process object (mp_process.thread) and an mp_runtime
 * of its own: another view of the same mapping, with its own actor, children
 * and hooks. Its pid and start time are the process's, so that it is found
 * dead when the process is. It notes its own end.
 *
 * What the views of a process share is mp_threads, made with the runtime; its
 * lock is held by who forks, so that the child finds it whole.
 *
 * Ending: a thread cannot be ended from outside. Who wants it ended writes so
 * into its slot and sends it a signal, whose handler calls the hook `poked` in
 * that thread. What the thread does then is the business of the floors above.
 * Crash: a starter killed before the thread has entered leaves a RESERVED slot
 * that its sweep revokes, as for a process. A thread that ends in order frees
 * its slot itself when nothing is in its name any more; one that holds a lock
 * marks it DEAD, and whoever sweeps it tells the joiners.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_THREAD_H
#define MP_THREAD_H

#include <stdio.h>

#include "process.h"

/* A thread that was started here. */
typedef struct mp_thread {
	mp_runtime rt;             /* its view */
	pthread_t id;
	mp_handle h;
	mp_aid aid;
	mp_aid starter;            /* who joins it at its own end; 0: the process */
	bool daemon;
	void (*run)(mp_runtime *rt, void *arg);
	void *arg;
	int status;                /* wait(2)'s, for its end */
	struct mp_stream *stream;  /* its stdout */
	mp_word over;              /* 1: it touches nothing of ours any more */
	struct mp_thread *next;
} mp_thread;

struct mp_threads {
	pthread_mutex_t lock;      /* shm.fds of every view */
	mp_runtime *first;         /* the view of the process's first thread */
	mp_thread *list;           /* started, and not joined by the system's means yet */
	mp_word ends;              /* counts those that are over; slept on */
	_Atomic uint64_t signals;  /* bit n-1: signal n has a handler of ours */
	int poke;                  /* the signal that they listen to; 0: none yet */
	sigset_t mask;             /* signals blocked in the first thread */
	mp_child *orphans;         /* children of threads that were ended */
	mp_word norphans;
};

/* A new thread object, not started; as mp_process_create. */
int mp_thread_create(mp_self *me, const char *name, bool daemon, mp_handle *h);
/* Starts it: run(view, arg) in the new thread, which is an actor by then and
 * has all signals blocked but one. 0; or -errno, *why, and run is never
 * called. arg is run's as soon as it returns 0. run returns when the thread
 * shall end; how it ended, it says by mp_thread_status. */
int mp_thread_start(mp_runtime *rt, mp_handle h, void (*run)(mp_runtime *rt, void *arg),
                    void *arg, const char **why);
/* Opens the thread's own stdout; NULL: no memory. It ends with the thread. */
FILE *mp_thread_stdout(mp_runtime *rt);
/* The thread's status in wait(2)'s format. */
void mp_thread_status(mp_runtime *rt, int status);
/* Shall this thread end? The signal, 0: no. Also where rt is of no thread. */
int mp_thread_asked(const mp_runtime *rt);
/* Asks one to end, wherever it is; as mp_process_signal. p is held. */
int mp_thread_ask(mp_runtime *rt, mp_process *p, int sig);
/* Frees what is left of threads that are over. */
void mp_threads_reap(mp_runtime *rt);
/* The part of mp_process_end_children: waits for those that rt started and
 * that are no daemons; ends the daemons, which get MP_GRACE. */
int mp_threads_join(mp_runtime *rt);
void mp_threads_end_daemons(mp_runtime *rt);
/* The thread ends by force: its children, of both kinds, go on as the
 * process's, but for daemons. */
void mp_threads_hand_over(mp_runtime *rt);
/* The first view takes over what was handed over. */
void mp_threads_adopt(mp_runtime *rt);
/* Asks all threads of the process to end and waits for them, at most grace
 * seconds: by the first one. true: none is left. */
bool mp_threads_stop(mp_runtime *rt, double grace);
/* In a forked child: the other threads are not there. rt is its only view. */
void mp_threads_forked(mp_runtime *rt);
/* Is there any but the caller? */
bool mp_threads_any(mp_runtime *rt);
/* Is the calling thread one that was started here? */
bool mp_thread_current(void);

#endif
