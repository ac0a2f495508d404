package geo

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/geo/geotest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/policy"
)

// loginFrom is a login at PJSIP.
func loginFrom(addr, account string, stream bool) policy.Observation {
	return policy.Observation{
		Source: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060), Kind: policy.KindSuccessfulAuth,
		Service: policy.ServicePJSIP, Stream: stream, Password: true,
		Account: policy.NewHasher(1).Label([]byte(account)),
	}
}

// Only a login from a country that is known and not expected opens a condition. Allowed and private
// addresses are left out.
func TestUnexpectedCountry(t *testing.T) {
	path := geotest.Write(t, "a.mmdb", "x", built, geotest.Records{
		"203.0.113.0/24": geotest.Country("BR"), "198.51.100.0/24": geotest.Country("DE"),
		"192.0.2.0/24": geotest.Country("BR"), "10.0.0.0/8": geotest.Country("BR"),
		"100.64.0.0/10": geotest.Country("BR"),
	})
	a := run(t, config.Geo{Files: []string{path}}, nil)
	eventually(t, "the file", func() bool { return a.Of(seven) != nil })

	_, log := logtest.New()
	book := alerts.New(alerts.Options{Log: log})
	l := NewLogins(a, []string{"AT", "DE"}, func(a netip.Addr) bool {
		return netip.MustParsePrefix("192.0.2.0/24").Contains(a)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		l.Run(ctx, book)
		close(done)
	}()
	defer func() {
		cancel()
		<-done
	}()

	// The last one is the only one that is seen, so all before it were looked at.
	failure := loginFrom("203.0.113.1", "failed", true)
	failure.Kind = policy.KindInvalidPassword
	injected := loginFrom("203.0.113.1", "injected", true)
	injected.Injected = true
	for _, o := range []policy.Observation{
		loginFrom("198.51.100.1", "home", true), loginFrom("192.0.2.1", "allowed", true),
		loginFrom("10.0.0.1", "private", true), loginFrom("100.64.0.1", "carrier", true),
		loginFrom("8.8.8.8", "unknown", true), failure, injected,
		loginFrom("203.0.113.7", "@everyone\x1b[31m", false),
	} {
		l.Note(o, "office")
	}
	eventually(t, "the condition", func() bool { return len(book.Open()) > 0 })
	open := book.Open()
	if len(open) != 1 || open[0].Kind != "unexpected_country" || open[0].Source != "203.0.113.7" ||
		open[0].Account != `"@everyone\x1b[31m"` || open[0].Server != "office" ||
		!strings.Contains(open[0].Text, "from BR; expected: AT, DE; over UDP: the address may be forged") {
		t.Fatalf("open: %+v", open)
	}

	// Another login of the account there is the same condition, and one over TCP is certain.
	l.Note(loginFrom("203.0.113.8", "@everyone\x1b[31m", true), "office")
	eventually(t, "the second login", func() bool { return book.Open()[0].Count == 2 })
	if text := book.Open()[0].Text; strings.Contains(text, "forged") || len(book.Open()) != 1 {
		t.Errorf("over TCP: %s", text)
	}

	// The operator expects it, so it is over.
	l.Expect([]string{"BR"})
	eventually(t, "the end", func() bool { return len(book.Open()) == 0 })
	l.Note(loginFrom("203.0.113.7", "1", true), "office")
	l.Expect(nil)
	l.Note(loginFrom("203.0.113.7", "1", true), "office")
	if len(book.Open()) != 0 {
		t.Errorf("open: %+v", book.Open())
	}
}

// What the judge hands over costs it no allocation, and it never waits.
func TestNoteCostsNothing(t *testing.T) {
	l := NewLogins(New(Options{}), []string{"DE"}, nil)
	o := loginFrom("203.0.113.7", "1", true)
	if n := testing.AllocsPerRun(10*mostNoted, func() { l.Note(o, "office") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
