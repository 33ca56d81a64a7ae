#!/bin/sh
# flow_timed.sh OUT COMMAND...: runs it, its output into OUT; prints the nanoseconds
# it took. With `tools` for a command, what the usual tools do instead of a flow:
#   tools words FILE   the 20 most frequent words
#   tools log FILE     the 20 paths of an access log that sent the most bytes
# Run by scripts/bench.  SPDX-License-Identifier: MIT
export LC_ALL=C

tools() {
	case $1 in
	words) tr -cs A-Za-z0-9_ '\n' < "$2" | sort | uniq -c | sort -rn ;;
	log) awk '$10 ~ /^[0-9]+$/ { sum[$7] += $10 }
		END { for (path in sum) printf "%.0f %s\n", sum[path], path }' "$2" | sort -rn ;;
	esac | head -n 20
}

out=$1
shift
began=$(date +%s%N)
"$@" > "$out" || exit 1
echo $(($(date +%s%N) - began))
