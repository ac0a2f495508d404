#!/bin/bash
# boot.sh ROOT FOLDER: boots ROOT under systemd in namespaces of its own, with a loopback interface alone, and prints what the
# console says. What the machine writes goes to FOLDER. systemd ends by SIGKILL of its process: its number is in FOLDER/pid.
set -euo pipefail
root=$1 folder=$2

# systemd wants a cgroup2 of its own. Where the machine also has the old hierarchies, it lies below them.
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
mkdir "$cgroup/amifend-packages-$$"
echo $$ >"$cgroup/amifend-packages-$$/cgroup.procs"

# A chroot would forbid user namespaces, so the root is pivoted. All mounts end with the namespaces.
# shellcheck disable=SC2016 # the inner shell expands these
exec unshare --mount --pid --fork --net --uts --ipc --cgroup --propagation private bash -euc '
	root=$1 folder=$2
	mkdir -p "$folder"/{upper,work,root}
	mount -t overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
	cd "$folder/root"
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs -o mode=755 tmpfs dev
	for d in null zero full random urandom tty; do
		touch "dev/$d"
		mount --bind "/dev/$d" "dev/$d"
	done
	mkdir dev/pts dev/shm oldroot
	mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	mount -t tmpfs tmpfs dev/shm
	mount -t tmpfs -o mode=755 tmpfs run
	hostname package-test
	pivot_root . oldroot
	umount -l /oldroot
	rmdir /oldroot
	mount --make-rshared / # as systemd expects of whoever makes a container: it mounts credentials from outside
	exec env -i container=amifend-packages PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/sbin/init --log-target=console --show-status=false
' boot "$root" "$folder"
