/* pid: what the system knows of a process: alive or not, how it ended.
 *
 * A pid alone is no identity. It is one together with the start time, or
 * while it is a child that was not reaped. All of it is async-signal-safe:
 * the keeper runs nothing else.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PID_H
#define MP_PID_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat, in ticks since boot; 0: unknown. */
uint64_t mp_starttime(pid_t pid);
/* Has the process with that start time (0: any) ended? A zombie has. Without
 * pidfds (an old kernel, a sandbox) /proc is asked, without that kill(2). */
bool mp_pid_dead(pid_t pid, uint64_t born);
/* A pidfd, or -errno: -ESRCH there is none, else none are to be had. */
int mp_pidfd_open(pid_t pid);
/* Has it ended (a zombie has)? */
bool mp_pidfd_ended(int fd);
/* How it ended, in wait(2)'s format, of one that was reaped by somebody; -1:
 * this kernel does not say. */
int mp_pidfd_status(int fd);
/* The same of a zombie with that start time (0: any); -1: there is none. */
int mp_zombie_status(pid_t pid, uint64_t born);
/* Sends a signal. 0 or -errno. fd: its pidfd, or -1. */
int mp_pid_signal(pid_t pid, int fd, int sig);
/* As waitid tells it -> as wait(2) does. */
int mp_wait_status(const siginfo_t *si);

/* A process group, by a word that tells it from a later one of its number: its
 * leader, which has just made it, is pid. Also for a vfork's child. */
uint64_t mp_group_note(pid_t pid);
/* SIGKILL to what is left of it; 0: of none. While anybody is in a group, its
 * number is nobody else's: only where a process has it that began later, there
 * is nothing left. */
void mp_group_kill(uint64_t note);

#endif
