#!/bin/bash
# root.sh [RELEASE]: makes a Debian of that release (bookworm, the default, or trixie) with systemd below the cache folder, unless it
# is there, and prints its path. It needs root.
set -euo pipefail
release=${1:-bookworm}
cache=${AMIFEND_LAB_CACHE:-/var/cache/amifend}
root=$cache/$release
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

mkdir -p "$cache"
exec 9>"$cache/.$release.lock"
flock 9 # two test runs at once make it once

# sudo: an administrator is an ordinary user there. The mark of a complete root says what is in it.
include=systemd,systemd-sysv,dbus,nftables,sudo
if [[ $(cat "$root/.complete" 2>/dev/null) != "$include" ]]; then
	uri=$("$(dirname "$0")/../../examples/lab/mirror.sh")
	more=
	[[ $uri != https:* ]] || more=,ca-certificates
	new=$root.new
	rm -rf --one-file-system "$new"
	mkdir -p "$new"
	debootstrap --variant=minbase --include="$include$more" "$release" "$new" "$uri" >"$root.log" 2>&1 || {
		tail -n 5 "$root.log" >&2
		exit 1
	}
	rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*
	echo "$include" >"$new/.complete"
	rm -rf --one-file-system "$root"
	mv "$new" "$root"
fi
echo "$root"
