package check

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// How far clocks may differ.
const (
	clockFine = 100 * time.Millisecond // what the network and the end of an event may add
	clockOff  = 5 * time.Second        // from here on a clock is wrong, not only late
)

// checkServer logs in to one PBX as the daemon does. It passes the events to heard, from one
// goroutine.
func checkServer(
	ctx context.Context, server config.Server, wait time.Duration, heard func(ami.Event),
) section {
	c := stream.Config(server)
	s := section{title: fmt.Sprintf("server %s, AMI at %s", server.Name, server.Address)}
	var ahead time.Duration // the PBX's clock, compared with ours
	chanSIP := false
	report, err := ami.Probe(ctx, c, wait, func(ev ami.Event) {
		if ev.Own {
			ahead = time.Until(ev.Time)
		}
		chanSIP = chanSIP || ev.Service == ami.ServiceSIP
		heard(ev)
	})
	if report.Version != "" {
		s.ok("connected: AMI %s, %s", report.Version, tlsText(report.TLS))
	}

	// Each step that worked is reported, so that the failed one is the next.
	if report.Auth != "" {
		s.ok("logged in as %q, %s; security events arrive (%d heard), the first after %s",
			server.Username, authText(report.Auth), report.Events, short(report.Took))
	}

	if report.Latency > 0 {
		s.ok("a Ping is answered in %s", short(report.Latency))
	}

	// The PBX's view of us shows a NAT in between, and its clock comes with it.
	if report.Own.IsValid() {
		s.ok("it sees us as %s", report.Own.Addr())
		checkClock(&s, ahead)
	}

	if chanSIP {
		s.warn("%s; %s", config.ChanSIPRisk, config.ChanSIPAdvice)
	}
	for _, w := range c.Warnings() {
		s.warn("%s", config.SessionWarning(w))
	}

	if err != nil {
		failed(&s, err)
	}

	return s
}

// failed reports what is wrong with a PBX and what to do.
func failed(s *section, err error) {
	problem := ami.ProblemOf(err)
	if problem == ami.ProblemUnknown { // its name and advice say nothing
		s.fail("", "%s", err)
		return
	}
	s.fail(config.Advice(problem), "%s: %s", problem, err)
}

// tlsText describes the encryption of a session.
func tlsText(t ami.TLSStatus) string {
	switch {
	case !t.Enabled:
		return "without TLS"
	case t.Insecure:
		return fmt.Sprintf("%s, certificate NOT verified; its SHA-256 is %s", t.Version,
			t.Fingerprint)
	default:
		return t.Version + ", certificate verified"
	}
}

// authText describes how the login was made.
func authText(a ami.AuthMethod) string {
	if a == ami.AuthMD5 {
		return "by MD5 challenge"
	}
	return "by plain Login, since the PBX does no MD5 challenge"
}

// checkClock reports how far the PBX's clock, seen in EventTV, is ahead of ours. A wrong clock does
// not disturb the daemon, which uses its own.
func checkClock(s *section, ahead time.Duration) {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}

	switch off := ahead.Abs(); {
	case off < clockFine:
		s.ok("its clock agrees with ours")
	case off < clockOff:
		s.ok("its clock is %s %s ours", off.Round(clockFine), direction)
	default:
		s.warn("its clock is %s %s ours: logs of both cannot be compared; set both by NTP "+
			"(timedatectl tells)", off.Round(time.Second), direction)
	}
}

// short returns a duration without its last digits.
func short(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
