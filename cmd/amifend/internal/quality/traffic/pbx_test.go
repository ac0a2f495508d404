package traffic

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// recorder is a tool that lets everything through and writes down what it hears.
type recorder struct {
	heard  []string
	last   recording.Event
	source netip.Addr // of the last packet
}

func (r *recorder) Hear(ev *recording.Event, source netip.Addr) bool {
	r.last, r.source = *ev, source
	r.heard = append(r.heard, describe(ev))
	return true
}

func describe(ev *recording.Event) string {
	return fmt.Sprintf("%s %s %s password=%t",
		ev.Service, ev.Kind, ev.Account.Bytes(), ev.Password)
}

// captured returns the events that a real Asterisk raised about a source.
func captured(t *testing.T, file, source string) []string {
	t.Helper()
	name := "../../../../../ami/testdata/captures/" + file
	set, err := recording.Open([]string{name}, recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()

	var out []string
	err = set.Play(t.Context(), func(ev *recording.Event) {
		if ev.Source.Addr() == netip.MustParseAddr(source) {
			out = append(out, describe(ev))
		}
	})
	if err != nil {
		t.Fatal(err)
	}

	// With a wrong address, nothing would be compared.
	if len(out) == 0 {
		t.Fatalf("%s has no event of %s", file, source)
	}
	return out
}

// nobody is whose requests no truth is kept of.
var nobody = &Party{Class: &Class{Role: Forger}}

// raised returns what the PBXs of the suite tell of requests.
func raised(p *PBX, from string, gap time.Duration, requests ...request) []string {
	r := &recorder{}
	w := &World{
		tool: r, hasher: policy.NewHasher(policy.FixedSeed), now: begin.UnixNano(),
		attacked: make(map[Target]int64),
	}
	addr := netip.MustParseAddr(from)

	for _, req := range requests {
		w.raise(nobody, p, packet{addr, netip.AddrPortFrom(addr, 5060)}, req)
		w.now += int64(gap)
	}
	return r.heard
}

// TestPBXTellsWhatARealOneDoes compares with captures of Asterisk 22 (PJSIP, AMI) and 16
// (chan_sip).
func TestPBXTellsWhatARealOneDoes(t *testing.T) {
	pbx := func(s policy.Service) *PBX {
		p := newPBX(0, s)
		p.passwords["1001"], p.passwords["sec"] = "right", "right"
		return p
	}
	bare := func(name string) request { return request{account: name} }
	with := func(name, password string, fresh bool) request {
		return request{account: name, credentials: true, password: password, fresh: fresh}
	}
	const (
		basic   = "01_basic_udp4_steps.ami"
		chanSIP = "20_asterisk16_chan_sip.ami"
		success = "21_asterisk16_chan_sip_success_and_forgery.ami"
		manager = "05_ami_service_events.ami"
	)

	for _, test := range []struct {
		name, file, source string
		service            policy.Service
		first, n           int // which of the events of the source; n of 0 are all
		requests           []request
	}{
		{
			"unknown, bare", basic, "198.51.100.11", policy.ServicePJSIP, 0, 0,
			[]request{bare("nouser1")},
		},
		{
			"unknown, made-up nonce", basic, "198.51.100.12", policy.ServicePJSIP, 0, 0,
			[]request{with("nouser2", "x", false)},
		},
		{
			"unknown, full login", basic, "198.51.100.13", policy.ServicePJSIP, 0, 0,
			[]request{bare("nouser3"), with("nouser3", "x", true)},
		},
		{
			"wrong password", basic, "198.51.100.14", policy.ServicePJSIP, 0, 0,
			[]request{bare("1001"), with("1001", "x", true)},
		},
		{
			"right password", basic, "198.51.100.15", policy.ServicePJSIP, 0, 0,
			[]request{bare("1001"), with("1001", "right", true)},
		},
		{"known, bare", basic, "198.51.100.16", policy.ServicePJSIP, 0, 0, []request{bare("1001")}},
		{
			"known, made-up nonce", basic, "198.51.100.17", policy.ServicePJSIP, 0, 0,
			[]request{with("1001", "x", false)},
		},
		{
			"chan_sip, unknown, full login", chanSIP, "198.51.100.11", policy.ServiceSIP, 0, 2,
			[]request{bare("nou3"), with("nou3", "x", true)},
		},
		{
			"chan_sip, wrong password", chanSIP, "198.51.100.11", policy.ServiceSIP, 2, 2,
			[]request{bare("1001"), with("1001", "x", true)},
		},
		{
			"chan_sip, made-up nonce", chanSIP, "198.51.100.10", policy.ServiceSIP, 2, 2,
			[]request{bare("1001"), with("1001", "x", false)},
		},
		{
			"chan_sip, right password", success, "198.51.100.11", policy.ServiceSIP, 0, 2,
			[]request{bare("1001"), with("1001", "right", true)},
		},
		{
			"AMI, unknown user, wrong password", manager, "198.51.100.40", policy.ServiceAMI, 0, 2,
			[]request{with("nosuch", "x", false), with("sec", "x", false)},
		},
		{
			"AMI, right password", manager, "198.51.100.41", policy.ServiceAMI, 0, 1,
			[]request{with("sec", "right", false)},
		},
	} {
		want := captured(t, test.file, test.source)[test.first:]
		if test.n > 0 {
			want = want[:test.n]
		}

		got := raised(pbx(test.service), test.source, time.Millisecond, test.requests...)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s",
				test.name, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// TestHeldBack: with auth_username, capture 12 has the events of the first eight requests, 0.2 s
// apart, and none of the next burst.
func TestHeldBack(t *testing.T) {
	p := newPBX(0, policy.ServicePJSIP)
	p.byAuth = true

	var requests []request
	for i := range 8 {
		requests = append(requests, request{account: fmt.Sprint("uu", i)})
	}
	want := captured(t, "12_auth_username_identifier_order.ami", "198.51.100.80")[:20]
	got := raised(p, "198.51.100.80", 200*time.Millisecond, requests...)

	// A second burst begins while Asterisk still remembers the source.
	later := &recorder{}
	w := &World{
		tool: later, hasher: policy.NewHasher(policy.FixedSeed),
		now: begin.Add(7 * time.Second).UnixNano(), attacked: make(map[Target]int64),
	}
	at := netip.MustParseAddrPort("198.51.100.80:5060")
	for range 8 {
		w.raise(nobody, p, packet{at.Addr(), at}, request{account: "uv"})
	}
	if got = append(got, later.heard...); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLoginByAuthName: a phone whose From is no account is known when it answers.
func TestLoginByAuthName(t *testing.T) {
	p := newPBX(0, policy.ServicePJSIP)
	p.byAuth, p.passwords["1001"] = true, "right"
	r := request{account: "+49301001", authUser: "1001", transport: ami.TransportUDP}
	answered := r
	answered.credentials, answered.password, answered.fresh = true, "right", true

	want := []string{
		"PJSIP ChallengeSent <unknown> password=false",
		"PJSIP SuccessfulAuth 1001 password=true",
	}
	if got := raised(p, "10.1.0.1", time.Millisecond, r, answered); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
