package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/firewall"
)

// checkFirewall reports whether bans can be made, and what is in the kernel already.
func checkFirewall(ctx context.Context, c *config.Config, netns int) section {
	name := c.Firewall.Table
	s := section{title: "firewall, table inet " + name}
	if c.Firewall.Backend == config.BackendLog {
		s.note(`dry run: [firewall] backend = "log" only tells what would be banned`)
		return s
	}

	// While nobody is banned, a missing right is not a failure yet.
	bad := levelFail
	if c.Unkept != nil {
		s.note("dry run: a trial of amifend enforce was not kept, so [policy] observe = false does not " +
			"count yet; see amifend status")
		bad = levelWarn
	} else if c.Observe {
		s.note("dry run: [policy] observe = true only tells what would be banned; what is wrong " +
			"here matters once you ban")
		bad = levelWarn
	}

	lock, err := firewall.Lock(name)
	switch {
	case err == nil:
		lock.Close() // a daemon that starts meanwhile needs it
	case errors.Is(err, firewall.ErrLocked):
		s.note("amifend is running%s", holder(err))
	default:
		s.add(bad, "", "%s", err)
	}

	// Opening the table tries the right and the kernel's support for real.
	f := firewall.Options{
		Table: name, Ports: c.Firewall.Ports(),
		MaxBans: c.Firewall.MaxBans, NetNS: netns,
	}
	if c.Sensor.Enabled {
		f.Sensor = &firewall.Sensor{Group: c.Sensor.Group}
	}
	f.Limiter = c.Limiter.Rules()
	t, err := firewall.Open(f)
	if err != nil {
		s.add(bad, "", "%s", err)
		return s
	}
	defer t.Close()

	s.ok("nftables can be used: the right (CAP_NET_ADMIN) and the kernel's support are there")
	checkSensor(&s, c, t.Sensor())
	checkLimiter(&s, c, t.Limiter())
	if err := checkTable(ctx, &s, bad, t, name); err != nil {
		s.add(bad, "", "%s", err)
	}

	return s
}

// checkSensor reports what the kernel can do for the sensor.
func checkSensor(s *section, c *config.Config, can firewall.SensorSupport) {
	switch {
	case !c.Sensor.Enabled:
		s.note("the kernel sensor is off ([sensor] enabled = false): requests that Asterisk does not " +
			"report are not seen")
	case can.Err != nil && !can.Counts:
		s.warn("the kernel sensor cannot work: %s", can.Err)
	case can.Err != nil:
		s.warn("the kernel sensor works in part: %s", can.Err)
	default:
		s.ok("the kernel sensor can work: it sees requests that Asterisk does not report, where this " +
			"machine is the PBX or its gateway")
	}
}

// checkLimiter reports what the kernel can do for the limiter.
func checkLimiter(s *section, c *config.Config, can firewall.LimiterSupport) {
	switch {
	case !c.Limiter.Enabled():
		s.note(`the limiter for strangers is off ([limiter] mode = "off")`)
	case can.Err != nil && !can.Limits:
		s.warn("the limiter for strangers cannot work: %s", can.Err)
	case can.Err != nil:
		s.warn("the limiter for strangers works in part: %s", can.Err)
	case c.Limiter.Mode == config.LimiterOn:
		s.ok("the limiter for strangers can work: it drops what they send beyond %d requests a minute",
			c.Limiter.PerMinute)
	default:
		s.ok("the limiter for strangers can work: it only observes, and amifend limited shows whom it " +
			"would limit")
	}
}

// checkTable reports what the kernel has under our table's name.
func checkTable(ctx context.Context, s *section, bad level, t *firewall.Table, name string) error {
	there, err := t.Inspect(ctx)
	var foreign *firewall.ForeignError
	switch {
	case errors.As(err, &foreign):
		s.add(bad,
			fmt.Sprintf("choose another [firewall] table, or remove it with: nft delete table "+
				"inet %s", name),
			"a table of that name exists and is not ours: %s", foreign.Found)
		return nil
	case err != nil:
		return err
	case !there:
		s.ok("the table is not there yet: amifend run makes it")
		return nil
	}

	// A table without all its sets is one that amifend run completes.
	elements, err := t.Bans(ctx)
	if errors.Is(err, firewall.ErrGone) {
		s.note("the table is there, but incomplete, or of an older amifend: amifend run " +
			"completes it and keeps its bans")
		return nil
	}

	if err != nil {
		return err
	}

	// People know bans by their scope.
	scopes := map[firewall.Scope]int{}
	var packets uint64
	for _, e := range elements {
		packets += e.Packets
		scopes[e.Scope]++
	}

	s.ok("the table is there with %s (scope all: %d, scope sip: %d, scope stream: %d), which "+
		"dropped %s",
		wording.Count(len(elements), "ban"), scopes[firewall.ScopeAll], scopes[firewall.ScopeSIP],
		scopes[firewall.ScopeStream], wording.Count(packets, "packet"))

	return nil
}

// holder returns who holds the lock of the table, such as " (pid 812 of uid 998)", or "".
func holder(err error) string {
	_, who, found := strings.Cut(err.Error(), "(pid ")
	if !found {
		return ""
	}
	who, _, _ = strings.Cut(who, " holds ")
	return " (pid " + strings.TrimSuffix(who, ")") + ")"
}
