//go:build packages

package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// secret is that of the manager user. It must appear in no log.
const secret = "s3cret-Of-The-Package-Test"

// attacker is who guesses in these tests.
const attacker = "203.0.113.7"

// banned is a shell command that succeeds while the kernel drops the attacker's packets.
const banned = "nft list table inet amifend | grep -q " + attacker

// install takes a package through its life on a fresh Debian: install, configure, ban, upgrade,
// remove, install again, purge.
func install(t *testing.T, release, deb string) {
	m := boot(t, release)
	newer := repack(t, deb)
	m.copyIn(t, deb, "/root/amifend.deb")
	m.copyIn(t, newer, "/root/newer.deb")
	before := m.run(t, listing)

	pbx := m.pbx(t, secret)
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"install", func(t *testing.T) { freshInstall(t, m) }},
		{"configure", func(t *testing.T) { configure(t, m) }},
		{"few rights", func(t *testing.T) { fewRights(t, m) }},
		{"ban", func(t *testing.T) { guess(pbx, attacker); banIsTold(t, m) }},
		{"upgrade", func(t *testing.T) { upgrade(t, m) }},
		{"invalid config", func(t *testing.T) { upgradeOverInvalidConfig(t, m) }},
		{"credential", func(t *testing.T) { credential(t, m) }},
		{"hung disk", func(t *testing.T) { hungDisk(t, m) }},
		{"newer journal", func(t *testing.T) { newerJournal(t, m) }},
		{"container", func(t *testing.T) { container(t, m) }},
		{"remove", func(t *testing.T) { remove(t, m) }},
		{"purge", func(t *testing.T) { purge(t, m, before) }},
	} {
		if !t.Run(step.name, step.run) {
			t.Fatalf("the log of amifend:\n%s", m.run(t, "journalctl -q -u amifend -n 60"))
		}
	}
}

// repack returns the same package with a higher version and another example config.
func repack(t *testing.T, deb string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "newer")
	output(t, "dpkg-deb", "--raw-extract", deb, dir)
	edit := func(name, old, new string) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %q", name, old)
		}
		changed := strings.Replace(string(text), old, new, 1)
		if err := os.WriteFile(path, []byte(changed), st.Mode()); err != nil {
			t.Fatal(err)
		}
	}

	edit("DEBIAN/control", "Version: 0", "Version: 9")
	edit("etc/amifend/config.toml.example", "# amifend's configuration,", "# The newer example,")
	output(t, "dpkg-deb", "--root-owner-group", "-Znone", "--build", dir, dir+".deb")
	return dir + ".deb"
}

// listing prints all files but those that no package removes again.
const listing = `find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
	-o -path /var/tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache \
	-o -path /root -o -path /home -o -path /opt -o -path /var/lib/sudo -o -path /var/lib/systemd \) \
	-prune -o -print | sort`

const owners = "stat -c '%U:%G %a %n' /etc/amifend /etc/amifend/*"

func freshInstall(t *testing.T, m *machine) {
	// apt, not dpkg: the dependencies must be there.
	said := m.run(t, "cd /root && apt-get install -y ./amifend.deb")
	if !strings.Contains(said, "next: sudo amifend init") {
		t.Errorf("does not say why it is not started:\n%s", said)
	}

	m.run(t, "systemctl is-enabled amifend && ! systemctl is-active amifend && ! systemctl is-failed amifend")
	want := "root:amifend 750 /etc/amifend\nroot:amifend 640 /etc/amifend/config.toml.example\n"
	if got := m.run(t, owners); got != want {
		t.Errorf("owners\n%swant\n%s", got, want)
	}
	m.run(t, "getent passwd amifend && getent group amifend-admin && amifend version --json | grep commit")

	// A start without a config is skipped, and is no failure.
	m.run(t, "systemctl start amifend && ! systemctl is-failed amifend")
}

func configure(t *testing.T, m *machine) {
	// The first config, which observes, by hand.
	m.run(t, `
		cd /etc/amifend
		install -m 640 -g amifend /usr/share/doc/amifend/examples/quickstart/config.toml .
		install -m 640 -g amifend /dev/null ami-secret
		echo '`+secret+`' >ami-secret`)

	// systemctl returns when the daemon has reported that it is ready: then it answers.
	m.run(t, "systemctl start amifend && amifend status")
	if said := m.run(t, "amifend check"); !strings.Contains(said, "runs as user amifend") {
		t.Errorf("check does not test as the user of the service:\n%s", said)
	}

	eventually(t, "the status names the PBX", func() bool {
		return strings.Contains(m.run(t, "systemctl show -p StatusText amifend"),
			"logged in to 1 of 1 PBXs")
	})

	// From here on it bans, without a trial.
	m.run(t, "amifend enforce --now && grep '^observe = false' /etc/amifend/config.toml && ls /etc/amifend/*.before-*")
	eventually(t, "the status names the PBX again", func() bool {
		return strings.Contains(m.run(t, "systemctl show -p StatusText amifend"),
			"logged in to 1 of 1 PBXs")
	})
	if got := m.run(t, "systemctl show -p WatchdogUSec --value amifend"); got != "1min\n" {
		t.Errorf("watchdog %q", got)
	}
}

// fewRights looks at what the kernel lets the daemon do, and has a script try under the unit what
// amifend must not be able to do.
func fewRights(t *testing.T, m *machine) {
	m.run(t, `
		pid=$(systemctl show -p MainPID --value amifend)
		grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/$pid/status | tr -d "\t" >/root/rights
		printf "%s\n" CapInh:0000000000001000 CapPrm:0000000000001000 CapEff:0000000000001000 \
			CapBnd:0000000000001000 CapAmb:0000000000001000 NoNewPrivs:1 Seccomp:2 | diff - /root/rights`)

	// The filter of the unit must let amifend call Landlock.
	said := m.run(t, "amifend status")
	if !strings.Contains(said, "confined  it executes nothing, and writes below /run/amifend and "+
		"/var/lib/amifend only; capabilities: net_admin; seccomp\n") {
		if version, err := ll.LandlockGetABIVersion(); err == nil && version > 0 {
			t.Errorf("the status of a confined daemon:\n%s", said)
		} else {
			t.Logf("THIS KERNEL HAS NO LANDLOCK (%v): under the unit it was NOT TESTED", err)
		}
	}

	m.run(t, `
		cat >/usr/local/share/try <<-'END'
			can() { echo "it can: $*"; failed=1; }
			for folder in / /etc /etc/amifend /usr /var /var/lib /run /boot /root /home /sys /proc/sys /dev/mapper; do
				if touch $folder/x; then can write $folder; fi
			done
			if mount -t tmpfs tmpfs /tmp; then can mount; fi
			if unshare -U true; then can make a user namespace; fi
			if unshare -m true; then can make a mount namespace; fi
			if chroot / true; then can chroot; fi
			if [ "$(nice -n -5 nice)" = -5 ]; then can take precedence; fi
			if date -s 12:00; then can set the clock; fi
			if hostname other; then can rename the host; fi
			if ls /home/* /root; then can look into homes; fi
			if cat /proc/1/cmdline; then can look at other processes; fi
			if dd if=/dev/kmsg count=1; then can read the log of the kernel; fi
			touch /var/lib/amifend-try/x /run/amifend-try/x || failed=1
			exit ${failed:-0}
		END
		sed -e 's|^Type=.*|Type=oneshot|' -e '/^\(WatchdogSec\|Restart\|ExecReload\|Condition\)/d' \
			-e 's|^ExecStart=.*|ExecStart=/bin/bash /usr/local/share/try|' \
			-e 's|Directory=amifend|&-try|' /usr/lib/systemd/system/amifend.service >/etc/systemd/system/try.service
		systemctl daemon-reload
		systemctl start try || { journalctl -q -u try; exit 1; }
		rm -r /etc/systemd/system/try.service /usr/local/share/try /var/lib/amifend-try; systemctl daemon-reload`)
}

// banIsTold looks for the ban in the kernel, and in journald by its fields.
func banIsTold(t *testing.T, m *machine) {
	eventually(t, "the kernel has the ban", func() bool { return m.command(banned).Run() == nil })

	find := "journalctl -q -o json SOURCE=" + attacker + " | grep banned | tail -n 1"
	var entry map[string]any
	eventually(t, "journald has the ban", func() bool {
		return json.Unmarshal([]byte(m.run(t, find+" || :")), &entry) == nil
	})
	line, _ := entry["MESSAGE"].(string)
	if !strings.HasPrefix(line, "banned  source="+attacker+" ") || entry["SCOPE"] != "all" ||
		entry["UNDO"] != "amifend unban "+attacker || entry["PRIORITY"] != "6" {
		t.Errorf("entry %v", entry)
	}

	if strings.Contains(m.run(t, "journalctl -q -a -o export"), secret) {
		t.Error("the log holds the secret")
	}
}

// upgrade checks that an upgrade keeps what the administrator edited, and the bans in the kernel.
func upgrade(t *testing.T, m *machine) {
	m.run(t, `
		echo '# edited' >>/etc/amifend/config.toml
		echo '# edited' >>/etc/amifend/config.toml.example
		sha256sum /etc/amifend/config.toml /etc/amifend/config.toml.example >/root/sums
		systemctl show -p MainPID amifend >/root/pid
		nft monitor >/root/monitor 2>&1 & echo $! >/root/monitor.pid`)

	// As an unattended upgrade does. Interactively dpkg asks, and can show the difference.
	m.run(t, "cd /root && apt-get -o Dpkg::Options::=--force-confold install -y ./newer.deb")
	m.run(t, banned)
	m.run(t, "sha256sum --check /root/sums && grep 'The newer example,' /etc/amifend/config.toml.example.dpkg-dist")
	m.run(t, "systemctl is-active amifend && amifend status && ! systemctl show -p MainPID amifend | cmp - /root/pid")

	// The rules are laid out anew, in one transaction. Nobody took the table, the sets or the ban
	// away meanwhile.
	m.run(t, "kill $(cat /root/monitor.pid)")
	taken := `grep -E "delete (table inet amifend$|(set|element) inet amifend (ban|sip))" /root/monitor || :`
	if gone := m.run(t, taken); gone != "" {
		t.Errorf("the upgrade removed from the kernel:\n%s", gone)
	}

	// An administrator who disabled the service finds it disabled.
	m.run(t, "systemctl disable amifend && cd /root && apt-get install -y --reinstall ./newer.deb")
	m.run(t, "! systemctl is-enabled amifend && systemctl enable amifend && systemctl is-active amifend")
}

// upgradeOverInvalidConfig checks that the old daemon runs on with a config that the new one
// refuses.
func upgradeOverInvalidConfig(t *testing.T, m *machine) {
	m.run(t, `cp -a /etc/amifend/config.toml /root/ && echo 'bogus = 1' >>/etc/amifend/config.toml
		systemctl show -p MainPID amifend >/root/pid`)
	said := m.run(t, "cd /root && apt-get install -y --reinstall ./newer.deb 2>&1")
	if !strings.Contains(said, "bogus") || !strings.Contains(said, "was not restarted") {
		t.Errorf("says\n%s", said)
	}
	m.run(t, "systemctl show -p MainPID amifend | cmp - /root/pid && cp -a /root/config.toml /etc/amifend/")
}

// credential checks that the secret may belong to root alone.
func credential(t *testing.T, m *machine) {
	m.run(t, `
		install -D -m 644 /usr/share/doc/amifend/examples/systemd/credentials.conf \
			/etc/systemd/system/amifend.service.d/credentials.conf
		chown root: /etc/amifend/ami-secret; chmod 600 /etc/amifend/ami-secret
		systemctl daemon-reload; systemctl restart amifend`)
	eventually(t, "it logs in with the credential", func() bool {
		return m.command(`amifend status --json | grep '"connected": true'`).Run() == nil
	})

	// Without the credential, the service cannot read the secret, and says what to do.
	m.run(t, "rm -r /etc/systemd/system/amifend.service.d; systemctl daemon-reload")
	m.fails(t, "systemctl restart amifend")
	if said := m.run(t, "journalctl -q -u amifend -n 20"); !strings.Contains(said, "chown root:amifend") {
		t.Errorf("the log has no advice:\n%s", said)
	}
	m.run(t, `chown root:amifend /etc/amifend/ami-secret; chmod 640 /etc/amifend/ami-secret
		systemctl restart amifend`)
}

// hungDisk checks that a daemon whose disk hangs is ready after ten seconds, and bans.
func hungDisk(t *testing.T, m *machine) {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this machine has no loop devices")
		}
		t.Skip("this machine has no loop devices, which make a disk that hangs")
	}

	// A file system that is frozen lets every write wait.
	image := filepath.Join(t.TempDir(), "disk")
	output(t, "truncate", "--size=64M", image)
	output(t, "mkfs.ext4", "-q", image)
	loop := strings.TrimSpace(output(t, "losetup", "--find", "--show", image))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", loop).Run() })
	output(t, "cp", "-a", loop, m.path("/dev/hung"))

	m.run(t, `
		systemctl stop amifend
		mkdir /mnt/hung; mount /dev/hung /mnt/hung; cp -a /var/lib/amifend/. /mnt/hung/
		mount --bind /mnt/hung /var/lib/amifend; chown amifend:amifend /var/lib/amifend
		fsfreeze --freeze /mnt/hung`)
	thaw := func() { _ = m.command("fsfreeze --unfreeze /mnt/hung").Run() }
	defer thaw()

	m.run(t, "systemctl start amifend")
	m.run(t, "systemctl is-active amifend && "+banned)
	eventually(t, "the status names the journal", func() bool {
		return strings.Contains(m.run(t, "systemctl show -p StatusText amifend"), "journal")
	})

	thaw()
	m.run(t, `systemctl stop amifend
		umount /var/lib/amifend /mnt/hung; rmdir /mnt/hung; systemctl start amifend`)
}

// newerJournal checks that a journal of a newer version is refused, with the way back.
func newerJournal(t *testing.T, m *machine) {
	m.run(t, "systemctl stop amifend; cp -a /var/lib/amifend /root/state")
	setSchema(t, m.path("/var/lib/amifend/journal.db"), 99)
	_ = m.command("systemctl start amifend").Run() // why it fails is read from the log
	said := m.run(t, "systemctl stop amifend; journalctl -q -u amifend -n 20")
	if !strings.Contains(said, "newer amifend") || !strings.Contains(said, "update amifend") {
		t.Errorf("the log has not the way back:\n%s", said)
	}
	m.run(t, "rm -r /var/lib/amifend; mv /root/state /var/lib/amifend; systemctl start amifend; "+banned)
}

// container runs the image that the Containerfile describes, with the rights that its README gives.
func container(t *testing.T, m *machine) {
	m.run(t, `
		systemctl stop amifend
		mkdir -p /root/image/usr/bin /root/image/etc/amifend /root/image/var/lib/amifend /root/image/run/amifend
		cp /usr/bin/amifend /root/image/usr/bin/
		cd /root/image/etc/amifend
		sed '/^.policy/,$d' /usr/share/doc/amifend/examples/container/config.toml >config.toml
		echo '`+secret+`' >ami-secret
		chmod 640 *
		systemd-run --unit=image -p RootDirectory=/root/image -p CapabilityBoundingSet=CAP_NET_ADMIN \
			-p ReadOnlyPaths=/ -p "ReadWritePaths=/var/lib/amifend /run/amifend" /usr/bin/amifend run`)
	status := "nsenter --target $(systemctl show -p MainPID --value image) --mount --root " +
		"/usr/bin/amifend status --json"
	eventually(t, "the container answers, and is logged in", func() bool {
		return m.command(status+` | grep '"connected": true'`).Run() == nil
	})
	m.run(t, banned+"; systemctl stop image; rm -r /root/image; systemctl start amifend")
}

// remove checks that removing ends all bans, and keeps what an administrator may want back.
func remove(t *testing.T, m *machine) {
	m.run(t, "apt-get remove -y amifend")
	for _, gone := range []string{
		"systemctl is-active amifend", "nft list table inet amifend", "command -v amifend",
	} {
		m.fails(t, gone)
	}
	m.run(t, `test -e /etc/amifend/config.toml; test -e /etc/amifend/ami-secret
		test -e /var/lib/amifend/journal.db`)

	// Installed again, it starts at once and puts the bans back.
	m.run(t, `cd /root && apt-get install -y ./newer.deb
		systemctl is-enabled amifend && systemctl is-active amifend`)
	m.run(t, banned)
}

// purge checks that nothing is left but the system user.
func purge(t *testing.T, m *machine, before string) {
	m.run(t, "apt-get purge -y amifend")
	m.fails(t, "nft list table inet amifend")
	m.run(t, "getent passwd amifend")
	compare(t, m, before)
}

// compare checks that a machine has no other files than before.
func compare(t *testing.T, m *machine, before string) {
	t.Helper()
	had := map[string]bool{}
	for line := range strings.Lines(before) {
		had[line] = true
	}
	for line := range strings.Lines(m.run(t, listing)) {
		// systemd-sysusers keeps copies of the files that it changed.
		if !had[line] && !strings.HasPrefix(line, "/etc/passwd") &&
			!strings.HasPrefix(line, "/etc/group") && !strings.HasPrefix(line, "/etc/shadow") &&
			!strings.HasPrefix(line, "/etc/gshadow") && !strings.HasPrefix(line, "/etc/.") {
			t.Errorf("is left: %s", line)
		}
	}
}
