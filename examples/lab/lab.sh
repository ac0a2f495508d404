#!/bin/bash
# A telephone system under attack, on one machine: network namespaces with a real Asterisk, phones, attackers, a trunk
# and a remote monitor, and a router between them. Nothing leaves the machine.
#
#   lab.sh up NAME [sid|bullseye]   build the namespaces, start Asterisk, wait until it is ready
#   lab.sh exec NAME WHO CMD...     run a command in a namespace: pbx gw phones attack trunk mon
#   lab.sh from NAME ADDRESS        attackers' programs that pick no address have this one from now on
#   lab.sh asterisk NAME CMD...     a command of Asterisk's own command line
#   lab.sh start NAME               start Asterisk (again)
#   lab.sh kill NAME                kill -9 it, as a crash does
#   lab.sh reload NAME              write its configuration anew and have it read
#   lab.sh down NAME                end everything of this lab and remove it
#   lab.sh clean PREFIX             the same for every lab whose name begins with PREFIX, also what a crash left
#   lab.sh list
#
#   AMIFEND_LAB_CACHE   where build-asterisk.sh put the chroots; default /var/cache/amifend
#   AMIFEND_LAB_RUN     where labs keep their files; default /run/amifend-lab
#
#   attack 198.51.100.0/24, 203.0.113.0/24, 198.18.0.0/16 ─────┐
#          2001:db8:bad::/48, 2001:db8:b000::/36 ──────────────┤
#   phones 10.20.0.0/24, 2001:db8:20::/64 ─────────────────────┤         192.0.2.0/24
#   trunk  100.64.9.9, the resolver 100.64.0.53 ───────────────┼─ gw ─── 2001:db8:1::/64 ── pbx .10, ::10
#   mon    100.64.1.5 ─────────────────────────────────────────┘  .1, ::1
#
# In attack and phones every address of the prefixes is local: a program picks one by binding to it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${AMIFEND_LAB_CACHE:-/var/cache/amifend}
readonly runs=${AMIFEND_LAB_RUN:-/run/amifend-lab}
readonly prefix=amifend-lab # of every namespace
readonly -a members=(pbx gw phones attack trunk mon)
export LC_ALL=C

die() { printf 'lab: %s\n' "$*" >&2; exit 1; }
ns() { echo "$prefix-$name-$1"; }

need_name() {
	name=${1:-}
	[[ $name =~ ^[a-z0-9-]{1,32}$ ]] || die "the lab's name must be 1 to 32 of a-z 0-9 -, not '$name'"
	run=$runs/$name
}

# --- network

# link NAME: a cable from the router to a namespace. Both ends have a fixed link-local address and routes point at
# those (RFC 8950 for IPv4 too), so no prefix is spent on the cables and neighbours need not answer for whole prefixes.
link() {
	local who=$1 gw
	gw=$(ns gw)
	ip -n "$gw" link add "$who" type veth peer name eth0 netns "$(ns "$who")"
	ip -n "$gw" link set "$who" addrgenmode none up
	ip -n "$(ns "$who")" link set eth0 addrgenmode none up
	ip -n "$gw" addr add fe80::1/64 dev "$who" nodad
	ip -n "$(ns "$who")" addr add fe80::2/64 dev eth0 nodad
}

# behind WHO PREFIX...: the prefixes live in that namespace, every address of them.
behind() {
	local who=$1 p f
	shift
	for p in "$@"; do
		f=-4
		[[ $p == *:* ]] && f=-6
		ip $f -n "$(ns gw)" route add "$p" via inet6 fe80::2 dev "$who"
		ip $f -n "$(ns "$who")" route add local "$p" dev lo
	done
}

# default_source WHO ADDRESS: what a program gets that picks none.
default_source() {
	if [[ $2 == *:* ]]; then
		ip -6 -n "$(ns "$1")" route replace default via fe80::1 dev eth0 src "$2"
	else
		ip -4 -n "$(ns "$1")" route replace default via inet6 fe80::1 dev eth0 src "$2"
	fi
}

network_up() {
	local m
	for m in "${members[@]}"; do
		ip netns add "$(ns "$m")"
		ip -n "$(ns "$m")" link set lo up
		# Forged sources must reach their target, else the lab proves nothing: no reverse path filter, and a packet that
		# bears the receiver's own address is taken.
		ip netns exec "$(ns "$m")" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv4.conf.all.accept_local=1 net.ipv4.conf.default.accept_local=1 net.ipv6.conf.default.accept_dad=0 \
			net.ipv6.conf.default.accept_ra=0 net.ipv4.icmp_ratelimit=0 \
			net.ipv6.ip_nonlocal_bind=1
	done
	ip netns exec "$(ns gw)" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

	link pbx
	ip -n "$(ns gw)" addr add 192.0.2.1/24 dev pbx
	ip -n "$(ns gw)" addr add 2001:db8:1::1/64 dev pbx nodad
	ip -n "$(ns pbx)" addr add 192.0.2.10/24 dev eth0
	ip -n "$(ns pbx)" addr add 2001:db8:1::10/64 dev eth0 nodad
	ip -n "$(ns pbx)" route add default via 192.0.2.1
	ip -6 -n "$(ns pbx)" route add default via 2001:db8:1::1

	local four six
	local -A own=([phones]='10.20.0.100 2001:db8:20::100' [attack]='198.51.100.10 2001:db8:bad::10'
		[trunk]='100.64.9.9 2001:db8:64::9' [mon]='100.64.1.5 2001:db8:64:1::5')
	for m in "${!own[@]}"; do
		link "$m"
		read -r four six <<<"${own[$m]}"
		ip -n "$(ns "$m")" addr add "$four/32" dev lo
		ip -n "$(ns "$m")" addr add "$six/128" dev lo nodad
		default_source "$m" "$four"
		default_source "$m" "$six"
	done
	behind attack 198.51.100.0/24 203.0.113.0/24 198.18.0.0/16 2001:db8:bad::/48 2001:db8:b000::/36
	behind phones 10.20.0.0/24 2001:db8:20::/64
	behind trunk 100.64.9.0/24 100.64.0.0/24 2001:db8:64::/64
	behind mon 100.64.1.0/24 2001:db8:64:1::/64

	# `ip netns exec` mounts it over /etc/resolv.conf: what the PBX's machine believes its resolver to be.
	mkdir -p "/etc/netns/$(ns pbx)"
	echo 'nameserver 100.64.0.53' >"/etc/netns/$(ns pbx)/resolv.conf"
}

# --- Asterisk

configure() {
	local release=$1 root=$cache/$1 modules f n
	[[ -x $root/usr/sbin/asterisk ]] || die "no Asterisk in $root: run build-asterisk.sh $release first"
	mkdir -p "$run"/{etc,lib,log,run,spool}
	chmod 700 "$run" # the secrets are in it
	mkdir -p "$run"/lib/{documentation,keys}
	echo "$release" >"$run/release"
	# A percent sign and a colon: a client that takes the secret for a format or splits at any colon fails at once.
	[[ -e $run/secret ]] || (umask 077 && printf '100%%d:%s\n' "$(openssl rand -hex 12)" >"$run/secret")
	for modules in "$root"/usr/lib/asterisk/modules "$root"/usr/lib/*/asterisk/modules; do
		[[ ! -d $modules ]] || break
	done
	[[ -d $modules ]] || die "no Asterisk modules in $root"

	cp "$here"/etc/common/*.conf "$here/etc/$release/"*.conf "$run/etc/"
	# phone.tmpl makes phones.conf, pjsip-phone.tmpl pjsip-phones.conf.
	for f in "$here/etc/$release/"*phone.tmpl; do
		for ((n = 1001; n <= 1030; n++)); do
			sed "s/@N@/$n/g" "$f"
		done >"$run/etc/$(basename "$f" .tmpl)s.conf"
	done
	sed -i "s|@MODULES@|${modules#"$root"}|" "$run/etc/asterisk.conf"
	sed -i "s|@SECRET@|$(<"$run/secret")|" "$run/etc/manager.conf"
	# Asterisk has defaults for these, but calls it an error when the files are not there.
	touch "$run"/etc/{acl,ccss,cdr,cel,features,indications,pjproject,udptl}.conf
	for f in "$run"/etc/*.conf; do
		! grep -nE '^[^;]*@[A-Z]+@' "$f" >&2 || die "$f: placeholder left"
	done
	[[ -e $run/etc/pbx.pem ]] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
		-subj /CN=pbx.example -addext 'subjectAltName=DNS:pbx.example,IP:192.0.2.10,IP:127.0.0.1,IP:2001:db8:1::10' \
		-keyout "$run/etc/pbx.key" -out "$run/etc/pbx.crt" 2>/dev/null || die "openssl cannot make the lab's certificate"
	cat "$run/etc/pbx.key" "$run/etc/pbx.crt" >"$run/etc/pbx.pem"
}

# A zombie has no exe: after a kill nobody need have waited for it.
alive() { [[ -s $run/pid ]] && [[ $(readlink "/proc/$(<"$run/pid")/exe" 2>/dev/null) == */asterisk ]]; }

# cli CMD: over Asterisk's control socket, from within its own mounts.
cli() { nsenter -t "$(<"$run/pid")" --mount --net --root --wd /usr/sbin/asterisk -C /mnt/etc/asterisk.conf -rx "$*"; }

start() {
	local release root i
	release=$(<"$run/release")
	root=$cache/$release
	! alive || die "$name: Asterisk runs already (pid $(<"$run/pid"))"
	rm -f "$run"/run/*
	# A mount namespace of its own: its mounts end with it. exec all the way, so that the pid is Asterisk's.
	# shellcheck disable=SC2016 # the inner shell expands these
	setsid ip netns exec "$(ns pbx)" unshare --mount --propagation private bash -c '
		root=$1 run=$2
		mount --bind "$run" "$root/mnt"
		mount --rbind /dev "$root/dev"
		mount -t proc proc "$root/proc"
		echo $$ >"$run/pid"
		cd /
		exec chroot "$root" /usr/sbin/asterisk -f -C /mnt/etc/asterisk.conf' asterisk "$root" "$run" \
		</dev/null >"$run/log/console" 2>&1 &
	for ((i = 0; i < 300; i++)); do
		if alive && [[ -S $run/run/asterisk.ctl ]] && cli core waitfullybooted 2>/dev/null | grep -q 'fully booted'; then
			return
		fi
		sleep 0.1
	done
	tail -n 20 "$run/log/console" "$run/log/full" >&2 || :
	die "$name: Asterisk is not up after 30 s"
}

end() {
	local i
	for ((i = 0; i < 50; i++)); do
		alive || return 0
		kill -9 "$(<"$run/pid")" 2>/dev/null || :
		sleep 0.02
	done
	die "$name: pid $(<"$run/pid") does not end"
}

# Ends what runs in the lab's namespaces (Asterisk, amifend, tools) and removes them. Safe to repeat.
down() {
	local m
	local -a pids
	for m in "${members[@]}"; do
		[[ -e /run/netns/$(ns "$m") ]] || continue
		mapfile -t pids < <(ip netns pids "$(ns "$m")" 2>/dev/null)
		((${#pids[@]} == 0)) || kill -9 "${pids[@]}" 2>/dev/null || :
		ip netns del "$(ns "$m")" || :
		rm -rf "/etc/netns/$(ns "$m")"
	done
	rm -rf "$run"
}

names() {
	{
		ip netns list 2>/dev/null | sed -nE "s/^$prefix-(.+)-(pbx|gw|phones|attack|trunk|mon)( .*)?$/\1/p"
		[[ ! -d $runs ]] || ls "$runs"
	} | sort -u
}

main() {
	local verb=${1:-}
	shift || :
	((EUID == 0)) || die "it needs root (network namespaces, chroot): run: sudo $0 $verb $*"
	case $verb in
	up)
		need_name "${1:-}"
		[[ ! -e /run/netns/$(ns pbx) ]] || die "$name is up already: lab.sh down $name"
		configure "${2:-sid}"
		network_up
		start
		cat <<-TEXT
			$name is up: Asterisk at 192.0.2.10 and 2001:db8:1::10, endpoints 1001 to 1030.
			Its files are in $run: etc, log/full, secret.
			next: $0 asterisk $name pjsip show endpoints
			      $0 exec $name pbx amifend run --config $run/config.toml    (README.md, "Protect it")
			      $0 down $name
		TEXT
		;;
	start) need_name "${1:-}"; start ;;
	kill) need_name "${1:-}"; end ;;
	reload) need_name "${1:-}"; configure "$(<"$run/release")"; cli core reload ;;
	down) need_name "${1:-}"; down ;;
	exec)
		need_name "${1:-}"
		local who=${2:-}
		shift 2
		exec ip netns exec "$(ns "$who")" "$@"
		;;
	from) need_name "${1:-}"; default_source attack "${2:?an address of the attackers}" ;;
	asterisk) need_name "${1:-}"; shift; cli "$@" ;;
	clean)
		[[ ${1:-} =~ ^[a-z0-9-]{1,32}$ ]] || die "clean needs the beginning of the names"
		local begin=$1 n
		for n in $(names); do
			[[ $n != "$begin"* ]] || { need_name "$n"; down; }
		done
		;;
	list) names ;;
	*) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
	esac
}

main "$@"
