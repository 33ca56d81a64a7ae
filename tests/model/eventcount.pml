/* eventcount: model of runtime/shm/eventcount.c, with a notifier that may be
 * killed at any step. Each of two producers publishes one item and notifies
 * one sleeper; each of two consumers takes one item. Without any slices
 * nobody may sleep for ever: spin reports an invalid end state if one does.
 *
 * A killed producer's item counts if it was published; its wake is then the
 * sweep's. Source of the futex's model: a set of sleepers on one word.
 *
 * SPDX-License-Identifier: MIT */
#define N 2

byte ec = 0;            /* bit 0: somebody may sleep; the rest: sequence */
byte items = 0;         /* published and not taken */
byte published = 0, dead = 0, ended = 0;
bool asleep[N];         /* consumer i sleeps in the futex */

inline wake(n, woken) {
	atomic {
		woken = 0;
		if :: (n > 0 && asleep[0]) -> asleep[0] = false; woken++ :: else fi;
		if :: (n > woken && asleep[1]) -> asleep[1] = false; woken++ :: else fi;
	}
}
/* which of two sleepers the kernel wakes is its choice */
inline wake_other_first(n, woken) {
	atomic {
		woken = 0;
		if :: (n > 0 && asleep[1]) -> asleep[1] = false; woken++ :: else fi;
		if :: (n > woken && asleep[0]) -> asleep[0] = false; woken++ :: else fi;
	}
}

inline notify(n) {
	v = ec;
	do
	:: (v & 1) == 0 -> break
	:: else ->
		atomic {
			if
			:: ec == v -> ec = (v + 2) & 127; moved = true
			:: else -> v = ec; moved = false
			fi
		}
		if
		:: moved ->
			if :: wake(n, woken) :: wake_other_first(n, woken) fi;
			if
			:: woken < n ->
				atomic {
					if
					:: ec == ((v + 2) & 127) -> ec = (v + 4) & 126; moved = true
					:: else -> moved = false
					fi
				}
				if :: moved -> wake(N, woken) :: else fi
			:: else
			fi;
			break
		:: else
		fi
	od
}

proctype producer(bool mortal) {
	byte v, woken; bool moved;
	atomic { items++; published++ }      /* a cell becomes READY */
	if
	:: mortal -> dead++; goto over       /* killed before the wake ... */
	:: notify(1)
	fi;
over:	ended++
}

proctype sweeper() {
	byte v, woken; bool moved;
	ended == N;                          /* every death is seen */
	if :: dead > 0 -> notify(N) :: else fi
}

proctype consumer(byte me) {
	byte seen;
	do
	:: atomic { items > 0 -> items-- }; break
	:: items == 0 ->
		atomic { ec = ec | 1; seen = ec }    /* prepare */
		if
		:: atomic { items > 0 -> items-- }; break
		:: items == 0 ->
			atomic {                         /* futex wait: compare and sleep */
				if
				:: ec == seen -> asleep[me] = true
				:: else
				fi
			}
			!asleep[me]
		fi
	od
}

init {
	atomic {
		run producer(false); run producer(true);
		run consumer(0); run consumer(1);
		run sweeper()
	}
}
