package journal

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

// What an operator lifts while the disk is full outlasts a kill, also when the disk was full at the
// start already.
func TestLiftOnFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	withMounts(t, func(t *testing.T) {
		for name, late := range map[string]bool{
			"full while it runs": false,
			"full at the start":  true,
		} {
			t.Run(name, func(t *testing.T) {
				dir := mount(t, "32m")
				r := start(t, options(dir))
				reserved := func() bool { _, err := os.Stat(r.reserveFile()); return err == nil }
				r.Ban(ban("192.0.2.1/32", all, time.Hour))
				r.written(t)
				eventually(t, reserved)
				var free func()

				if late {
					r.stop()
					free = fillUp(t, dir)
					r = start(t, options(dir))
				} else {
					free = fillUp(t, dir)
				}

				for i := range 2000 { // the log that is there already has room for some
					r.Ban(ban(numbered(i).String(), sip, time.Hour))
				}

				r.broken(t)
				r.Lift(lift("192.0.2.1/32", all))
				if err := r.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}

				if _, err := os.Stat(r.reserveFile()); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("the room was not needed (%v): the disk was not full", err)
				}

				copied := t.TempDir()
				copyKilled(t, dir, copied)
				after := start(t, options(copied))

				if s := after.snapshot(t); len(s.Lifted) != 1 || len(s.Open) != 2000 {
					t.Errorf("after a kill it knows %d lifts and %d bans", len(s.Lifted),
						len(s.Open))
				}

				free()
				if err := r.ask(t.Context(), func(*store) error {
					r.due.look = time.Time{}
					return nil
				}); err != nil {
					t.Fatal(err)
				}

				eventually(t, reserved)
			})
		}
	})
}

// The health says why no room is reserved.
func TestMissingReserveIsShown(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		for why, prepare := range map[string]func() string{
			"less than 16 MiB are free": func() string { return mount(t, "12m") },
			"is not a file": func() string {
				dir := mount(t, "32m")
				if err := os.Symlink("/nowhere", New(options(dir)).reserveFile()); err != nil {
					t.Fatal(err)
				}
				return dir
			},
			"": func() string { return mount(t, "32m") },
		} {
			r := start(t, options(prepare()))
			r.Ban(ban("192.0.2.1/32", all, time.Hour))
			r.written(t)
			if got := r.Health().Unreserved; !strings.HasSuffix(got, why) || (got == "") != (why == "") {
				t.Errorf("%q, want %q", got, why)
			}
		}
	})
}
