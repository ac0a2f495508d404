#!/bin/bash
# asterisk.sh CHROOT ROOT: puts the lab's real Asterisk into a machine, as the service of a Debian package: its config in
# /etc/asterisk, its manager.conf that of Debian. ROOT is the root of the machine, CHROOT what build-asterisk.sh made.
set -euo pipefail
chroot=$1 root=$2
lab=$(cd "$(dirname "$0")/../../examples/lab/etc" && pwd)
id=990 # of its user in the machine, where nobody has it

install -d "$root"/opt/pbx/{dev,proc,run,tmp,root} "$root"/etc/asterisk
cp -a "$chroot"/{usr,etc,var,bin,lib,sbin} "$root/opt/pbx/"
[[ ! -e $chroot/lib64 ]] || cp -a "$chroot/lib64" "$root/opt/pbx/"

# Its config, with the endpoints of the lab. manager.conf stays as Debian has it.
cp -a "$chroot/etc/asterisk/." "$root/etc/asterisk/"
cp "$lab"/sid/{pjsip,modules}.conf "$lab"/common/{extensions,logger,rtp}.conf "$root/etc/asterisk/"
sed 's/@N@/1001/g' "$lab/sid/phone.tmpl" >"$root/etc/asterisk/phones.conf"

uid=$(stat -c %u "$chroot/var/lib/asterisk") gid=$(stat -c %g "$chroot/var/lib/asterisk")
find "$root/opt/pbx" "$root/etc/asterisk" -user "$uid" -exec chown -h $id {} +
find "$root/opt/pbx" "$root/etc/asterisk" -group "$gid" -exec chgrp -h $id {} +
sed -i "s/^asterisk:x:[0-9]*:[0-9]*:/asterisk:x:$id:$id:/" "$root/opt/pbx/etc/passwd"
sed -i "s/^asterisk:x:[0-9]*:/asterisk:x:$id:/" "$root/opt/pbx/etc/group"
echo "asterisk:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>"$root/etc/passwd"
echo "asterisk:x:$id:" >>"$root/etc/group"

printf '#!/bin/sh\nexec chroot /opt/pbx /usr/sbin/asterisk "$@"\n' >"$root/usr/sbin/asterisk"
chmod 755 "$root/usr/sbin/asterisk"
cat >"$root/etc/systemd/system/asterisk.service" <<'UNIT'
[Service]
ExecStartPre=mount --bind /etc/asterisk /opt/pbx/etc/asterisk
ExecStartPre=mount --rbind /dev /opt/pbx/dev
ExecStartPre=mount -t proc proc /opt/pbx/proc
ExecStartPre=install -d -o asterisk -g asterisk /opt/pbx/run/asterisk
ExecStart=/usr/sbin/asterisk -f -U asterisk -G asterisk
[Install]
WantedBy=multi-user.target
UNIT
