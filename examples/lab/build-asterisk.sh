#!/bin/bash
# Builds a directory with a real Asterisk in it (a chroot), for the lab and the end-to-end tests.
#
#   build-asterisk.sh sid        Asterisk 22, PJSIP
#   build-asterisk.sh bullseye   Asterisk 16, chan_sip and PJSIP
#
# It is quick when the chroot is there already: it only checks that Asterisk in it still runs.
#
#   AMIFEND_LAB_CACHE    where the chroots go; default /var/cache/amifend, each in a folder named after its release
#   AMIFEND_LAB_MIRROR   the Debian mirror; default: the first one in this machine's own apt sources
#
# It needs root: debootstrap and chroot do. It writes to the cache folder and, when tools are missing, installs them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${AMIFEND_LAB_CACHE:-/var/cache/amifend}
readonly marker=.amifend-lab # in the chroot: it is complete; holds the version of its Asterisk
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

say() { printf 'build-asterisk: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# A tool that the lab needs, and the Debian package that has it.
readonly -a tools=(
	debootstrap:debootstrap ip:iproute2 nft:nftables openssl:openssl svcrack:sipvicious sipp:sip-tester
	tcpdump:tcpdump unshare:util-linux flock:util-linux sysctl:procps
)

missing_packages() {
	local t
	for t in "${tools[@]}"; do
		command -v "${t%%:*}" >/dev/null || echo "${t##*:}"
	done | sort -u
	[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || echo debian-archive-keyring
}

install_tools() {
	local -a want
	mapfile -t want < <(missing_packages)
	((${#want[@]})) || return 0
	say "installing on this machine, with apt-get: ${want[*]}"
	apt-get update -q >&2 || say "apt-get update failed, trying with the lists that are here"
	apt-get install -q -y --no-install-recommends "${want[@]}" >&2 || die "cannot install ${want[*]}: install them by hand"
}

# What must hold of a complete chroot. Prints the version.
probe() {
	local root=$1
	[[ -x $root/usr/sbin/asterisk ]] || return 1
	[[ -z $(chroot "$root" dpkg --audit 2>&1) ]] || return 1
	chroot "$root" asterisk -V 2>/dev/null
}

# Asterisk asks the resolver at its start: with one that cannot be reached it took 80 s. Nobody listens on loopback, so
# every question fails at once.
finish() {
	local root=$1 version
	version=$(probe "$root") || die "$root: Asterisk in it does not run: remove the folder and try again"
	echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
	chroot "$root" apt-get clean
	rm -rf "$root"/var/lib/apt/lists/*
	echo "$version" >"$root/$marker"
	say "$version in $root"
}

# Runs in a mount namespace of its own: whatever is mounted here is gone with this process.
bootstrap() {
	local release=$1 root=$2 uri include=()
	uri=$("$here/mirror.sh")
	[[ $uri == https:* ]] && include=(--include=ca-certificates)
	say "$release: debootstrap into $root (about a minute)"
	debootstrap --variant=minbase "${include[@]}" "$release" "$root" "$uri" >"$root.log" 2>&1 ||
		die "debootstrap $release failed, see $root.log: $(tail -n 3 "$root.log")"
	# No service may start in the chroot. An archived release may be past its Valid-Until; its signature still counts.
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	cat >"$root/etc/apt/apt.conf.d/90amifend-lab" <<-'CONF'
		Acquire::Check-Valid-Until "false";
		Acquire::Retries "3";
	CONF
	[[ -e /etc/resolv.conf ]] && cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	mount -t proc proc "$root/proc"
	say "$release: installing asterisk"
	{
		chroot "$root" apt-get update -q &&
			chroot "$root" apt-get install -q -y --no-install-recommends asterisk
	} >>"$root.log" 2>&1 || die "apt-get install asterisk failed, see $root.log: $(tail -n 3 "$root.log")"
	umount "$root/proc"
	finish "$root"
}

main() {
	local release=${1:-}
	case $release in
	sid | bullseye) ;;
	*) die "usage: $0 sid|bullseye" ;;
	esac
	if ((EUID != 0)); then
		local need
		need=$(missing_packages | tr '\n' ' ')
		[[ -z $need ]] || say "missing here: install them with: sudo apt-get install $need"
		die "it needs root (debootstrap, chroot): run: sudo $0 $release"
	fi

	install_tools
	mkdir -p "$cache"
	exec 9>"$cache/.$release.lock"
	flock 9 # two test runs at once build it once

	local root=$cache/$release version
	if [[ -e $root/$marker ]] && version=$(probe "$root"); then
		say "$version in $root"
		return
	fi
	if [[ -e $root/usr/sbin/asterisk ]] && probe "$root" >/dev/null; then
		finish "$root" # made by hand, or by a run that was ended at its last step
		return
	fi
	if [[ -e $root ]]; then
		! grep -qs " $root/" /proc/self/mounts || die "$root is incomplete and something is mounted in it: umount it first"
		say "$root is incomplete: starting over"
		rm -rf --one-file-system "$root"
	fi

	# The proxy that apt of this machine uses, for debootstrap's wget and for apt in the chroot.
	local http_proxy_apt=''
	eval "$(apt-config shell http_proxy_apt Acquire::http::Proxy)"
	[[ -z $http_proxy_apt || $http_proxy_apt == DIRECT ]] || export http_proxy=$http_proxy_apt https_proxy=$http_proxy_apt

	export -f bootstrap finish probe say die
	export cache marker here
	unshare --mount --propagation private bash -euo pipefail -c 'bootstrap "$@"' bootstrap "$release" "$root" ||
		die "$release: not built"
}

main "$@"
