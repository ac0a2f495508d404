#!/bin/bash
# Makes a Debian 12 with systemd below the cache folder, unless it is there, and prints its path. It needs root.
set -euo pipefail
root=${AMIFEND_LAB_CACHE:-/var/cache/amifend}/bookworm
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

if [[ ! -e $root/.complete ]]; then
	uri=$("$(dirname "$0")/../../examples/lab/mirror.sh")
	include=systemd,systemd-sysv,dbus,nftables
	[[ $uri != https:* ]] || include+=,ca-certificates
	rm -rf --one-file-system "$root"
	mkdir -p "$root"
	debootstrap --variant=minbase --include="$include" bookworm "$root" "$uri" >"$root.log" 2>&1 || {
		tail -n 5 "$root.log" >&2
		exit 1
	}
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	touch "$root/.complete"
fi
echo "$root"
