package daemon

import (
	"database/sql"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// startObserving runs an observing amifend with a journal.
func startObserving(t *testing.T) *reloading {
	t.Helper()
	r := startReloading(t, 1, func(c *config.Config) {
		c.Observe = true
		c.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	})
	r.change(func(*config.Config) {})
	return r
}

// observes waits until the daemon observes, or bans, and returns its status.
func (r *reloading) observes(t *testing.T, want bool) (out control.Status) {
	t.Helper()
	eventually(t, "the daemon changes over", func() bool {
		s, err := r.client.Status(t.Context())
		out = s
		return err == nil && s.Observe == want && s.Servers[0].Connected
	})
	return out
}

// explained returns what is known of an address.
func (r *reloading) explained(t *testing.T, address string) control.Explanation {
	t.Helper()
	x, err := r.client.Explain(t.Context(), netip.MustParseAddr(address))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// The end of observing: scores and what operators allowed come along, and what was only observed is
// not told as if it had happened. A trial that nobody keeps ends in observing.
func TestEnforceForATrial(t *testing.T) {
	r := startObserving(t)
	guess(r.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.waitFor("would ban", "203.0.113.6")
	guess(r.pbxs[0], "203.0.113.7:5062", "TCP", 3) // one attempt is missing
	friend := netip.MustParsePrefix("203.0.113.8/32")
	if _, err := r.client.Allow(t.Context(), control.NewAllow{Prefix: friend, Reason: "office"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the journal has it", func() bool {
		s, err := r.client.Status(t.Context())
		return err == nil && s.Observed != nil && s.Observed.Sources == 1 && s.Observed.LoggedIn == 0
	})

	if _, err := r.client.Enforce(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	s := r.observes(t, false)
	if s.Trial == nil || !s.Trial.Enforce || s.Observed != nil || s.TurnError != "" || s.Firewall.Bans != 0 {
		t.Errorf("%+v", s)
	}
	if x := r.explained(t, "203.0.113.6"); len(x.Bans)+len(x.Past) != 0 {
		t.Errorf("a ban that never was is told: %+v", x)
	}

	// Each is banned at its next attempt, for the first time, and no longer than the trial.
	table := r.table(t)
	for _, a := range []string{"203.0.113.6", "203.0.113.7"} {
		guess(r.pbxs[0], a+":5062", "TCP", 1)
		r.waitFor("banned", a)
		if el := r.element(t, table, a+"/32", all); el == nil || el.Expires > 3*time.Second {
			t.Errorf("%s: the kernel has %+v", a, el)
		}
		if x := r.explained(t, a); len(x.Bans) != 1 || x.Bans[0].Strike != 1 {
			t.Errorf("%s: %+v", a, x.Bans)
		}
	}
	guess(r.pbxs[0], "203.0.113.8:5062", "TCP", 9)

	// A reload in the trial does not end it, although the file says to observe.
	if out := r.reload(t); len(out.Changed)+len(out.Restart) != 0 {
		t.Errorf("%+v", out)
	}
	if _, err := r.client.Enforce(t.Context(), time.Minute); err == nil ||
		!strings.Contains(err.Error(), "a trial goes on") {
		t.Errorf("a second trial: %v", err)
	}

	s = r.observes(t, true)
	if s.Trial != nil || s.Firewall.Name != control.DryFirewall {
		t.Errorf("after the trial: %+v", s)
	}
	eventually(t, "the bans end", func() bool {
		return r.element(t, table, "203.0.113.6/32", all) == nil && r.element(t, table, "203.0.113.7/32", all) == nil
	})
	guess(r.pbxs[0], "203.0.113.9:5062", "TCP", 4)
	r.waitFor("would ban", "203.0.113.9")
	if n := r.Count("banned", "203.0.113.8") + r.Count("would ban", "203.0.113.8"); n != 0 {
		t.Error("what an operator allowed was banned")
	}
	if _, err := r.client.Keep(t.Context()); control.CodeOf(err) != control.CodeNoTrial {
		t.Errorf("kept too late: %v", err)
	}
}

// A trial is kept only when the config agrees, else a restart would end the banning.
func TestEnforceIsKept(t *testing.T) {
	r := startObserving(t)
	if _, err := r.client.Enforce(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	r.observes(t, false)
	guess(r.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.waitFor("banned", "203.0.113.6")
	if _, err := r.client.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "observe = true") {
		t.Errorf("kept against the config: %v", err)
	}

	// A config that was broken meanwhile changes nothing either.
	r.next.Store(nil)
	if _, err := r.client.Keep(t.Context()); control.CodeOf(err) != control.CodeInvalidConfig {
		t.Errorf("kept with a broken config: %v", err)
	}

	r.change(func(c *config.Config) { c.Observe = false })
	if out := r.reload(t); len(out.Changed) != 0 || len(out.Warnings) != 1 {
		t.Errorf("%+v", out)
	}
	if k, err := r.client.Keep(t.Context()); err != nil || k.Bans != 1 {
		t.Fatalf("%+v, %v", k, err)
	}
	if s := r.observes(t, false); s.Trial != nil {
		t.Errorf("%+v", s.Trial)
	}
	if el := r.element(t, r.table(t), "203.0.113.6/32", all); el == nil || el.Expires < 50*time.Minute {
		t.Errorf("kept: the kernel has %+v", el)
	}
}

// The key observe takes effect by a reload, in both directions. Bans that are in the kernel stay.
func TestReloadOfObserve(t *testing.T) {
	r := startObserving(t)
	r.change(func(c *config.Config) { c.Observe, c.Policy.BanTime = false, 2*time.Hour })
	if out := r.reload(t); len(out.Restart) != 0 || len(out.Changed) != 2 ||
		out.Changed[1] != "[policy] observe" {
		t.Errorf("%+v", out)
	}
	if s := r.observes(t, false); s.Trial != nil {
		t.Errorf("%+v", s.Trial)
	}
	guess(r.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.waitFor("banned", "203.0.113.6")

	r.change(func(c *config.Config) { c.Observe = true })
	r.reload(t)
	r.observes(t, true)
	if el := r.element(t, r.table(t), "203.0.113.6/32", all); el == nil || el.Expires < 110*time.Minute {
		t.Errorf("the kernel has %+v", el)
	}

	// What really was a ban is one again.
	r.change(func(c *config.Config) { c.Observe = false })
	r.reload(t)
	r.observes(t, false)
	if x := r.explained(t, "203.0.113.6"); len(x.Bans) != 1 || x.Bans[0].State != control.StateInKernel {
		t.Errorf("%+v", x.Bans)
	}
}

// Where the kernel's table cannot be had, nothing changes, and observing goes on.
func TestEnforceWithoutTheTable(t *testing.T) {
	r := startObserving(t)
	lock, err := firewall.Lock(r.config.Firewall.Table)
	if err != nil {
		t.Fatal(err)
	}

	_, err = r.client.Enforce(t.Context(), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	r.change(func(c *config.Config) { c.Observe = false })
	if _, err := r.client.Reload(t.Context()); err == nil {
		t.Error("reloaded")
	}
	if s := r.observes(t, true); s.TurnError != "" {
		t.Errorf("%+v", s)
	}

	lock.Close()
	if _, err := r.client.Enforce(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	r.observes(t, false)
}

// A journal that only a person can mend keeps amifend from banning. It observes on, and says why.
func TestEnforceWithARefusedJournal(t *testing.T) {
	r := startObserving(t)
	guess(r.pbxs[0], "203.0.113.7:5062", "TCP", 3) // one attempt is missing
	path := filepath.Join(r.config.State.Directory, journal.File)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(),
		"CREATE TABLE x (y); PRAGMA application_id = 0x616d6966; PRAGMA user_version = 99")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}

	if _, err := r.client.Enforce(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	eventually(t, "amifend observes again", func() bool {
		s, err := r.client.Status(t.Context())
		return err == nil && s.Observe && strings.Contains(s.TurnError, "newer") && s.Servers[0].Connected
	})

	// It knows what it knew before.
	guess(r.pbxs[0], "203.0.113.7:5062", "TCP", 1)
	r.waitFor("would ban", "203.0.113.7")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Enforce(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if s := r.observes(t, false); s.TurnError != "" {
		t.Errorf("%+v", s)
	}
}

// In a trial of the command line the file says observe = false, and the record of the trial beside it
// has the config observe. Until somebody keeps it, the daemon observes after the trial, and says so.
func TestUnkeptTrial(t *testing.T) {
	r := startObserving(t)
	unkept := func(c *config.Config) {
		c.Observe = true
		c.Unkept = &config.Trial{Began: time.Now()}
	}
	r.change(unkept)
	out := r.reload(t)
	if len(out.Changed) != 0 || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "amifend keep begins to ban") {
		t.Errorf("%+v", out)
	}
	if _, err := r.client.Enforce(t.Context(), 2*time.Second); err != nil {
		t.Fatal(err)
	}

	// A program that asks the API must not keep what the next restart would not know.
	r.observes(t, false)
	_, err := r.client.Keep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the record of the trial is still beside the config") {
		t.Errorf("kept against the record: %v", err)
	}

	s := r.observes(t, true)
	told := false
	for _, h := range s.Health {
		told = told || strings.Contains(h.What, "was not kept") && strings.Contains(h.Do, "--put-back")
	}
	if !told {
		t.Errorf("%+v", s.Health)
	}

	// Put back, there is no more to say. Kept, it bans.
	r.change(func(c *config.Config) { c.Observe = true })
	if out := r.reload(t); len(out.Warnings) != 0 {
		t.Errorf("%+v", out)
	}
	r.change(unkept)
	r.reload(t)
	r.change(func(c *config.Config) { c.Observe = false })
	r.reload(t)
	r.observes(t, false)
}
