package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/geo/geotest"
)

// The names of addresses are in all answers, and a login from an unexpected country is an alert, and
// no ban. The weekly report reaches a mailbox as text and as a page, once, also after a restart.
func TestNamesAndWeeklyReport(t *testing.T) {
	confineRequests(t)
	s := newSite(t, 1)
	mail, mails := mailServer(t)
	s.report(t, targetOf("mail", "smtp://"+mail+"/?from=amifend@example.com&to=admin@example.com"))
	s.config.Geo = config.Geo{Expected: []string{"DE"}, Files: []string{
		geotest.Write(t, "country.mmdb", "x", time.Now(), geotest.Records{
			"203.0.113.0/24": geotest.Country("BR"),
		}),
		geotest.Write(t, "asn.mmdb", "x", time.Now(), geotest.Records{
			"203.0.113.0/24": geotest.Network(64500, "<b>Example</b>"),
		}),
	}}
	s.calm = 200 * time.Millisecond
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.7")
	const origin = "BR, AS64500 <b>Example</b>"

	l, err := c.Bans(t.Context(), control.BanQuery{Names: true})
	if err != nil || len(l.Bans) != 1 || l.Bans[0].Origin.String() != origin {
		t.Errorf("bans: %+v, %v", l.Bans, err)
	}
	if l, err = c.Bans(t.Context(), control.BanQuery{}); err != nil || l.Bans[0].Origin != nil {
		t.Errorf("bans without names: %+v, %v", l.Bans, err)
	}
	x, err := c.Explain(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || !strings.Contains(x.Text, "origin:       "+origin) || x.Origin.String() != origin {
		t.Errorf("explain: %v\n%s", err, x.Text)
	}
	past, err := c.Report(t.Context(), control.ReportQuery{Trend: true})
	if err != nil || past.Sources[0].Origin.String() != origin || past.Trend.Countries[0].Name != "BR" ||
		past.Trend.Now.Bans != 1 || past.Trend.Now.Failures != 4 {
		t.Errorf("report: %+v, %v", past, err)
	}
	if text := mails.wait(t, "1 ban after 4 attempts"); !strings.Contains(text, "AS64500") {
		t.Errorf("the summary:\n%s", text)
	}

	p := amitest.NewPeer("203.0.113.99:5060")
	p.Transport = "TCP"
	s.pbxs[0].Emit(p.Register("1001")...)
	r.Wait(t, "alert", "203.0.113.99")
	if l, err = c.Bans(t.Context(), control.BanQuery{}); err != nil || len(l.Bans) != 1 {
		t.Errorf("an alert must not ban: %+v, %v", l.Bans, err)
	}
	r.stop(t)

	// The time of the report comes while amifend is off.
	s.config.Report.Weekly = config.Weekly{On: true, Every: time.Second}
	s.config.Notify[0].Kinds = []string{config.KindReport}
	r = s.start(t)
	text := mails.wait(t, "weekly report: ")
	for _, part := range []string{
		"multipart/alternative", "text/plain", "text/html", "accounts tried most",
		"what an attacker would find: ", "not looked at: the PBX's configuration",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the report lacks %q:\n%s", part, text)
		}
	}
	r.stop(t)
}

// A reload puts [geo] and [report] in force.
func TestReloadOfGeoAndReport(t *testing.T) {
	r := startReloading(t, 1, func(c *config.Config) {
		c.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 1 << 26}
	})
	path := geotest.Write(t, "country.mmdb", "x", time.Now(), geotest.Records{
		"203.0.113.0/24": geotest.Country("BR"),
	})
	r.change(func(c *config.Config) {
		c.Geo = config.Geo{Files: []string{path}, Expected: []string{"DE"}}
		c.Report.Weekly = config.Weekly{On: true, Day: time.Monday}
	})
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[geo], [report]" || len(out.Restart) != 0 {
		t.Errorf("%+v", out)
	}

	eventually(t, "the country", func() bool {
		x, err := r.client.Explain(t.Context(), netip.MustParseAddr("203.0.113.7"))
		return err == nil && x.Origin.String() == "BR"
	})
	p := amitest.NewPeer("203.0.113.99:5060")
	r.pbxs[0].Emit(p.Register("1001")...) // over UDP
	r.waitFor("alert", "203.0.113.99")
	open, err := r.client.Alerts(t.Context(), control.AlertQuery{Kind: "unexpected_country"})
	if err != nil || len(open.Alerts) != 1 || !strings.Contains(open.Alerts[0].Reason, "may be forged") {
		t.Errorf("%+v, %v", open, err)
	}

	r.change(func(c *config.Config) { c.Geo = config.Geo{} })
	r.reload(t)
	r.waitFor("alert resolved", "203.0.113.99")
}
