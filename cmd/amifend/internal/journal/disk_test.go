package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envMounts tells the test binary that it has mounts of its own.
const envMounts = "JOURNALTEST_MOUNTS"

// withMounts runs a test in a process that has mounts (and if need be, users) of its own. Where
// that is forbidden the test is skipped with the reason, but with CI=true in the environment it
// fails.
func withMounts(t *testing.T, test func(t *testing.T)) {
	t.Helper()

	// In the child: mounts must not reach the machine.
	if os.Getenv(envMounts) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		test(t)
		return
	}

	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), envMounts+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}

	// Anybody else needs a user namespace to mount.
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}

	// A test that did not run must not look like one that passed.
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Fatalf("in a mount namespace:\n%s", out)
	case err != nil && os.Getenv("CI") != "true":
		t.Skipf("no mount namespace: %v", err)
	case err != nil:
		t.Fatalf("no mount namespace: %v", err)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Fatalf("did not run in the mount namespace:\n%s", out)
	}
}

// mount puts a small disk at a new directory.
func mount(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fillUp leaves no room on a disk.
func fillUp(t *testing.T, dir string) (free func()) {
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

	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *running) broken(t *testing.T) Health {
	t.Helper()
	eventually(t, func() bool { return r.Health().Problem != "" })
	return r.Health()
}

// While the disk is full everything goes on, and nothing is lost when it has room again.
func TestFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	withMounts(t, func(t *testing.T) {
		dir := mount(t, "1m")
		r := start(t, options(dir))
		r.Ban(ban("192.0.2.1/32", all, time.Hour))
		r.written(t)
		free := fillUp(t, dir)

		for i := range 2000 { // the log that is there already has room for some
			r.Ban(ban(numbered(i).String(), sip, time.Hour))
		}

		r.Lift(lift("192.0.2.1/32", all))
		h := r.broken(t)
		if !strings.Contains(h.Do, "free space on the disk of "+dir) || h.Since.IsZero() {
			t.Errorf("%+v", h)
		}

		// a moment after the health says so
		eventually(t, func() bool { return strings.Contains(r.log.String(), "bans go on") })
		if s := r.snapshot(t); len(s.Open) != 2000 || len(s.Lifted) != 1 {
			t.Errorf("it knows %d bans, %d lifted", len(s.Open), len(s.Lifted))
		}

		free()
		r.written(t)
		if h := r.Health(); h.Problem != "" || h.Lost != 0 || h.Waiting != 0 {
			t.Errorf("%+v", h)
		}

		r.stop()
		if s := start(t, options(dir)).snapshot(t); len(s.Open) != 2000 || len(s.Lifted) != 1 {
			t.Errorf("it knows %d bans, %d lifted", len(s.Open), len(s.Lifted))
		}
	})
}

// copyKilled copies what a kill would leave of a journal.
func copyKilled(t *testing.T, from, to string) {
	t.Helper()
	for _, end := range []string{"", "-wal"} {
		raw, err := os.ReadFile(filepath.Join(from, File+end))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, File+end), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A start on a full disk knows what was written before, also by a run that was killed.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	withMounts(t, func(t *testing.T) {
		for _, killed := range []bool{false, true} {
			dir := mount(t, "1m")
			s, err := openStore(filepath.Join(dir, File), Clock{}.OrReal())
			if err != nil {
				t.Fatal(err)
			}

			b := ban("192.0.2.1/32", all, time.Hour)
			if _, err := s.commit(&batch{bans: []*entry{{key: b.Key, ban: &b}}}); err != nil {
				t.Fatal(err)
			}

			from := dir
			if killed { // a copy of what a kill leaves: the log is not merged
				from = mount(t, "1m")
				copyKilled(t, dir, from)
			}

			s.close()
			free := fillUp(t, from)
			r := start(t, options(from))
			if got := r.snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s" {
				t.Errorf("killed %v: says %q", killed, got)
			}

			r.Ban(ban("192.0.2.2/32", all, time.Hour))
			r.broken(t)
			free()
			eventually(t, func() bool { return r.Health().Problem == "" && r.isWritten() })
			r.stop()
		}
	})
}

// On a disk that cannot be written the bans of before are known, and it is written as soon as it
// can be.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	withMounts(t, func(t *testing.T) {
		dir := mount(t, "4m")
		r := start(t, options(dir))
		r.Ban(ban("192.0.2.1/32", all, time.Hour))
		r.written(t)
		r.stop()
		remount := func(flags uintptr) {
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
				t.Fatal(err)
			}
		}

		remount(unix.MS_RDONLY)
		r = start(t, options(dir))
		if got := r.snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s" {
			t.Errorf("says %q", got)
		}

		r.Ban(ban("192.0.2.2/32", all, time.Hour))
		if h := r.broken(t); !strings.Contains(h.Do, "write to "+dir) {
			t.Errorf("%+v", h)
		}

		if got := r.snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s, 192.0.2.2/32 all 1h0m0s" {
			t.Errorf("says %q", got)
		}

		remount(0)
		eventually(t, func() bool { return r.Health().Problem == "" && r.isWritten() })
	})
}

// A directory that cannot be made is no reason to end.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	r := start(t, options(filepath.Join(file, "state")))
	r.Ban(ban("192.0.2.1/32", all, time.Hour))
	if _, err := r.Snapshot(t.Context()); err == nil || Refused(err) {
		t.Errorf("error %v", err)
	}

	r.broken(t)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}

	eventually(t, func() bool { return r.Health().Problem == "" && r.isWritten() })
	<-r.changes // whoever asked in vain is told
	if got := r.snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s" {
		t.Errorf("says %q", got)
	}
}

// Whatever is in the file: the journal works in the end, and what was there is set aside, or was
// sound.
func TestCorruptBytes(t *testing.T) {
	t.Parallel()
	template := t.TempDir()
	r := start(t, options(template))
	fill(r.Journal, 500)
	r.stop()
	sound, err := os.ReadFile(filepath.Join(template, File))
	if err != nil {
		t.Fatal(err)
	}

	random := rand.New(rand.NewPCG(1, 2))
	asides := 0
	for round := range 60 {
		dir := t.TempDir()
		file := bytes.Clone(sound)
		switch round % 3 {
		case 0:
			for range 1 + random.IntN(200) {
				file[random.IntN(len(file))] ^= byte(1 + random.IntN(255))
			}
		case 1:
			file = file[:random.IntN(len(file))]
		case 2:
			at := random.IntN(len(file))
			copy(file[at:], bytes.Repeat([]byte{byte(random.Int())}, min(8192, len(file)-at)))
		}

		if err := os.WriteFile(filepath.Join(dir, File), file, 0o600); err != nil {
			t.Fatal(err)
		}

		r := start(t, options(dir))
		s, err := r.Snapshot(t.Context())
		if err != nil && !Refused(err) {
			t.Fatalf("round %d: %v", round, err)
		}

		if err != nil { // the version, or the mark that it is ours, was hit
			r.stop()
			continue
		}

		for k, o := range s.Open {
			if o.Left <= 0 || o.Left > o.Whole || k.Prefix() != k.Prefix().Masked() {
				t.Fatalf("round %d: %v %+v", round, k, o)
			}
		}

		r.Ban(ban("192.0.2.1/32", all, time.Hour))
		eventually(t, func() bool { return r.isWritten() || r.Health().Problem != "" })
		if h := r.Health(); h.Problem != "" && !strings.Contains(h.Problem, "corrupt again") {
			t.Fatalf("round %d: %+v", round, h)
		}

		r.stop()
		found, err := filepath.Glob(filepath.Join(dir, File+".corrupt-*Z"))
		if err != nil || len(found) > 1 {
			t.Fatalf("set aside: %v, %v", found, err)
		}

		if len(found) == 1 {
			asides++
			if old, err := os.ReadFile(found[0]); err != nil || len(old) == 0 && len(file) > 0 {
				t.Fatalf("round %d: set aside %d bytes of %d, %v", round, len(old), len(file), err)
			}
		}
	}

	if asides < 10 {
		t.Errorf("only %d were set aside", asides)
	}

	t.Logf("%d of 60 were set aside", asides)
}

// A disk that is corrupt again and again must not fill up with what is set aside.
func TestCorruptAgain(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	r.snapshot(t)
	spoil := func() {
		t.Helper()
		if err := r.ask(t.Context(), func(*store) error {
			return fmt.Errorf("as if: %w", errDamaged)
		}); err == nil {
			t.Fatal("no error")
		}
	}

	// The first damage is repaired: the question is asked again, and answered.
	if err := r.ask(t.Context(), func() func(*store) error {
		first := true
		return func(*store) error {
			if first {
				first = false
				return errDamaged
			}
			return nil
		}
	}()); err != nil {
		t.Fatal(err)
	}

	// The next one comes too soon. No second file is set aside, and the health has the problem.
	spoil()
	found, err := filepath.Glob(filepath.Join(dir, File+".corrupt-*Z"))
	if err != nil || len(found) != 1 {
		t.Errorf("set aside: %v, %v", found, err)
	}

	if h := r.broken(t); !strings.Contains(h.Problem, "corrupt again") {
		t.Errorf("%+v", h)
	}
}
