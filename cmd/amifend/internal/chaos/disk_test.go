//go:build chaos

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// tmpfs mounts a small disk at a new directory.
func tmpfs(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// must runs a program of the system.
func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// loopDisk makes an ext4 in a file on another disk of the given size, and mounts it: what the other
// disk does not do is an error of input or output here.
func loopDisk(t testing.TB, size string) (dir, below string) {
	t.Helper()
	below = tmpfs(t, size)
	image := filepath.Join(below, "image")
	must(t, "truncate", "--size=64M", image)
	must(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", "-O", "^has_journal", image)
	loop := must(t, "losetup", "--find", "--show", image)
	dir = t.TempDir()
	t.Cleanup(func() {
		_ = exec.Command("fsfreeze", "--unfreeze", dir).Run()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = exec.Command("losetup", "--detach", loop).Run()
	})
	if err := unix.Mount(loop, dir, "ext4", 0, "errors=continue"); err != nil {
		t.Fatal(err)
	}
	return dir, below
}

// fill leaves no room on a disk, until the function that it returns is called.
func fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := 1 << 16; block > 0; {
		if _, err := f.Write(make([]byte, block)); err != nil {
			block /= 2
		}
	}
	return func() { _ = os.Remove(name) }
}

// harm is what happens to a disk, and mend makes it good again.
type (
	harm func() mend
	mend func(s *site)
)

// disk is a disk, and what happens to it.
type disk struct {
	name  string
	place func(t testing.TB) (state string, do harm)
	// silent: the journal need not notice
	silent bool
}

func disks() []disk {
	return []disk{
		{name: "is full", place: func(t testing.TB) (string, harm) {
			dir := tmpfs(t, "8m")
			return filepath.Join(dir, "state"), func() mend {
				free := fill(t, dir)
				return func(*site) { free() }
			}
		}},
		{name: "becomes read-only, and is mended by a restart", place: func(t testing.TB) (string, harm) {
			dir, _ := loopDisk(t, "70m")
			return filepath.Join(dir, "state"), func() mend {
				// What ext4 does by itself when its disk fails (errors=remount-ro).
				if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "abort"); err != nil {
					t.Fatal(err)
				}
				return func(s *site) { s.restartOnMendedDisk(t) }
			}
		}},
		{name: "loses the journal's directory, and is mended by a restart", place: func(t testing.TB) (string, harm) {
			dir := filepath.Join(t.TempDir(), "state")
			return dir, func() mend {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				return func(s *site) { s.running.stop(t); s.start(t) }
			}
		}},
		{name: "has its files deleted", place: func(t testing.TB) (string, harm) {
			dir := filepath.Join(t.TempDir(), "state")
			return dir, func() mend {
				files, _ := filepath.Glob(filepath.Join(dir, "*"))
				for _, f := range files {
					_ = os.Remove(f)
				}
				return func(*site) {}
			}
		}, silent: true},
		{name: "hangs for 10 s in fsync", place: func(t testing.TB) (string, harm) {
			dir, _ := loopDisk(t, "70m")
			return filepath.Join(dir, "state"), func() mend {
				must(t, "fsfreeze", "--freeze", dir)
				return func(*site) {
					time.Sleep(10 * time.Second)
					must(t, "fsfreeze", "--unfreeze", dir)
				}
			}
		}, silent: true},
		{name: "answers EIO", place: func(t testing.TB) (string, harm) {
			// The disk below gets full: the loop device then fails each write to a new block.
			dir, below := loopDisk(t, "24m")
			return filepath.Join(dir, "state"), func() mend {
				free := fill(t, below)
				return func(*site) { free() }
			}
		}},
	}
}

// Whatever the disk does while amifend runs: it goes on banning, and once the disk is well again,
// nothing is lost by a kill and a reboot.
func TestDiskFailsWhileItRuns(t *testing.T) {
	for _, d := range disks() {
		t.Run(strings.ReplaceAll(d.name, " ", "_"), func(t *testing.T) {
			t.Parallel() // they wait most of the time
			r := begin(t, "the disk "+d.name,
				"bans go on meanwhile; when it is well again, a kill and a reboot lose nothing")
			for range times(1, 5) {
				next := 0
				s := newSite(t, 1)
				state, do := d.place(t)
				s.state = state
				s.start(t)
				for range 5 {
					s.bansOne(t, s.pbxs[0], attacker(next))
					next++
				}
				s.written(t)

				undo := do()
				for range 20 {
					r.took("attack to ban meanwhile", s.bansOne(t, s.pbxs[0], attacker(next)))
					next++
				}
				if !d.silent {
					within(t, soon, "the status tells", func() bool {
						guess(s.pbxs[0], attacker(next), 4)
						next++
						st, err := s.status(t)
						return err == nil && st.Journal.Problem != ""
					})
				}
				undo(s)
				s.bansOne(t, s.pbxs[0], attacker(next))
				next++

				// It tries again after 30 s at most, and looks every 10 s whether its file is
				// there.
				within(t, 90*time.Second, "the journal is well and has all", func() bool {
					st, err := s.status(t)
					_, gone := os.Stat(filepath.Join(s.state, "journal.db"))
					return err == nil && st.Journal.Waiting == 0 && st.Journal.Problem == "" && gone == nil
				})
				s.survivesReboot(t)
				r.n++
			}
		})
	}
}

// restartOnMendedDisk ends the daemon, has the disk of the journal repaired as at a boot, and
// starts the daemon again.
func (s *site) restartOnMendedDisk(t testing.TB) {
	t.Helper()
	s.running.stop(t)

	dir := filepath.Dir(s.state)
	loop := must(t, "findmnt", "--noheadings", "--output=SOURCE", "--mountpoint", dir)
	must(t, "umount", dir)
	_ = exec.Command("e2fsck", "-fy", loop).Run() // its exit code says whether it repaired something
	if err := unix.Mount(loop, dir, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	s.start(t)
}

// survivesReboot kills the daemon, reboots, and wants all bans back that the kernel had.
func (s *site) survivesReboot(t testing.TB) {
	t.Helper()
	want := s.bans(t)
	s.running.kill()
	s.reboot(t)
	s.start(t)
	within(t, soon, plural(len(want), "ban")+" are back", func() bool {
		has := s.bans(t)
		for b := range want {
			if !has[b] {
				return false
			}
		}
		return len(want) > 0
	})
	s.running.stop(t)
}

// A journal with damage anywhere: amifend starts, keeps what the kernel has, and bans.
func TestCorruptJournal(t *testing.T) {
	r := begin(t,
		"1 to 64 random bytes of the journal are overwritten, or its end is cut, between two "+
			"runs",
		"it starts, keeps every ban that the kernel has, and goes on banning",
	)
	rnd := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	s := newSite(t, 1)
	s.start(t)
	next := 0
	for range 50 {
		guess(s.pbxs[0], attacker(next), 4)
		next++
	}
	s.bansOne(t, s.pbxs[0], attacker(next))
	s.written(t)
	lost := 0

	for range times(4, 100) {
		s.running.stop(t)
		want := s.bans(t)
		path := filepath.Join(s.state, "journal.db")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(4) == 0 {
			raw = raw[:rnd.IntN(len(raw))]
		}
		for range 1 + rnd.IntN(64) {
			if len(raw) > 0 {
				raw[rnd.IntN(len(raw))] = byte(rnd.IntN(256))
			}
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}

		_, took := s.start(t)
		r.took("start to ready", took)
		has := s.bans(t)
		for b := range want {
			if !has[b] {
				t.Fatalf("run %d: %s is not in the kernel any more", r.n, b)
			}
		}
		if st, err := s.status(t); err == nil && hasWarning(st, "journal") {
			lost++
			if _, err := s.client.Acknowledge(t.Context()); err != nil {
				t.Error(err)
			}
		}
		next++
		s.bansOne(t, s.pbxs[0], attacker(next))
		r.n++
	}
	r.note = fmt.Sprint(lost, " of them were told as a loss")
}

func hasWarning(s control.Status, about string) bool {
	for _, h := range s.Health {
		if h.About == about {
			return true
		}
	}
	return false
}
