//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// bans returns the elements of amifend's sets of banned sources in a namespace's kernel.
func (w *world) bans(t *testing.T, who lab.Who) []lab.Element {
	t.Helper()
	elements, err := w.Elements(t.Context(), who, "amifend")
	if err != nil {
		t.Fatal(err)
	}

	var out []lab.Element
	for _, e := range elements {
		if strings.HasPrefix(e.Set, "ban") {
			out = append(out, e)
		}
	}
	return out
}

// element returns the ban of a host in the PBX's kernel, and whether there is one.
func (w *world) element(t *testing.T, addr netip.Addr) (lab.Element, bool) {
	t.Helper()
	for _, e := range w.bans(t, lab.PBX) {
		if e.Prefix == netip.PrefixFrom(addr, addr.BitLen()) {
			return e, true
		}
	}
	return lab.Element{}, false
}

// attempt is an attacker's nth request to the PBX.
type attempt func(ctx context.Context, c *sip.Client, n int) error

// nobody returns an account that does not exist, another one for each try and attacker: one that
// several attackers tried would count for more.
func nobody(c *sip.Client, n int) string {
	return fmt.Sprintf("%d-%s", 9000+n, strings.ReplaceAll(c.Local.Addr().String(), ":", "-"))
}

// unknown asks for accounts that do not exist.
func unknown(method string) attempt {
	return func(ctx context.Context, c *sip.Client, n int) error {
		_, err := c.Attempt(ctx, sip.Request{Method: method, From: nobody(c, n)})
		return err
	}
}

// unknownWithCredentials does the same with made-up credentials at once, as some scanners do.
func unknownWithCredentials(ctx context.Context, c *sip.Client, n int) error {
	user := nobody(c, n)
	made := sip.MadeUp(user, "REGISTER", "sip:"+c.Host())
	_, err := c.Attempt(ctx, sip.Request{
		Method: "REGISTER", From: user, Header: []string{made},
	})
	return err
}

// guessUnknown waits for the challenge and answers it, for accounts that do not exist.
func guessUnknown(ctx context.Context, c *sip.Client, n int) error {
	_, err := c.Guess(ctx, "REGISTER", nobody(c, n), "guess")
	return err
}

// guess tries passwords of a real account.
func guess(ctx context.Context, c *sip.Client, n int) error { return guessOf(ctx, c, "1001", n) }

// guessAnother tries passwords of an account that nobody else tries.
func guessAnother(ctx context.Context, c *sip.Client, n int) error {
	return guessOf(ctx, c, "1030", n)
}

func guessOf(ctx context.Context, c *sip.Client, account string, n int) error {
	_, err := c.Guess(ctx, "REGISTER", account, fmt.Sprint("guess-", n))
	return err
}

const (
	// mostTries is how often an attacker tries before it only waits for its ban.
	mostTries = 40

	// pause is how long an attacker rests after a try that was answered: Asterisk answers a
	// thousand tries a second, and its events may come milliseconds later.
	pause = 5 * time.Millisecond
)

// attackUntilBanned tries until amifend says that it banned the source.
func (w *world) attackUntilBanned(t *testing.T, d *daemon, c *sip.Client, try attempt) line {
	t.Helper()
	source := c.Local.Addr()
	for n := range mostTries {
		// A try that was dropped is not answered; one over a dropped connection fails. Asterisk
		// closes none by itself.
		err := try(t.Context(), c, n)
		if b, ok := d.ban(source); ok {
			return b
		}
		if err != nil && !errors.Is(err, sip.ErrNoAnswer) {
			t.Fatalf("%s %s: try %d: %v", c.Transport, source, n+1, err)
		}
		time.Sleep(pause)
	}

	// The last tries may have been cut off already while the line is still on its way.
	what := fmt.Sprintf("the ban of %s after %d tries over %s", source, mostTries, c.Transport)
	eventually(t, soon, what, func() bool {
		_, ok := d.ban(source)
		return ok
	})
	b, _ := d.ban(source)
	return b
}

// dropped checks a ban from outside: the element is in the kernel, further tries are not answered,
// the element counts them, and Asterisk hears nothing more.
func (w *world) dropped(t *testing.T, b line, c *sip.Client, try attempt) {
	t.Helper()
	source := c.Local.Addr()
	before, ok := w.element(t, source)
	if !ok {
		t.Errorf("%s: banned, but no element in the kernel: %+v", source, w.bans(t, lab.PBX))
		return
	}
	if before.Timeout == 0 {
		t.Errorf("%s: an element without a timeout would stay for ever: %+v", source, before)
	}

	// Accounts that were not tried before: a ban must not depend on what is asked for.
	for n := range 3 {
		if try(t.Context(), c, mostTries+n) == nil {
			t.Errorf("%s %s: answered after its ban", c.Transport, source)
		}
	}
	if after, _ := w.element(t, source); after.Packets <= before.Packets {
		t.Errorf("%s: no packet counted as dropped: %d, then %d",
			source, before.Packets, after.Packets)
	}
	w.silentSince(t, source, b.Time)
}

// silentSince fails the test if Asterisk raised an event of a source later than 100 ms after its
// ban was acknowledged. Asterisk may have taken a packet before, and tell of it only then.
func (w *world) silentSince(t *testing.T, source netip.Addr, acknowledged time.Time) {
	t.Helper()
	var late []lab.Event
	for _, e := range w.tap.Events(source) {
		if e.Time.After(acknowledged.Add(100 * time.Millisecond)) {
			late = append(late, e)
		}
	}
	if len(late) > 0 {
		t.Errorf("%s: banned at %s, and %d events after it, the first %s at %s",
			source, acknowledged.Format(time.StampMilli),
			len(late), late[0].Kind, late[0].Time.Format(time.StampMilli))
	}
}

// reaction returns the time from the event that made a ban until the ban was in the kernel and
// told. EventTV, the time of the event, has milliseconds.
func (w *world) reaction(b line, source netip.Addr) time.Duration {
	var last time.Time
	for _, e := range w.failures(source) {
		if e.Time.After(last) && !e.Time.After(b.Time) {
			last = e.Time
		}
	}
	return b.Time.Sub(last).Round(time.Millisecond)
}
