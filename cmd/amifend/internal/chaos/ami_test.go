//go:build chaos

package chaos

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// listen opens a port in the machine, and has each connection treated.
func (s *site) listen(t testing.TB, name string, treat func(net.Conn)) {
	t.Helper()
	var l net.Listener
	s.Do(t, func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				treat(c)
			}()
		}
	}()
	s.servers = append(s.servers, server{name: name, address: l.Addr().String()})
}

// forever writes a text again and again until the other end has had enough.
func forever(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// drain reads until the other end goes.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Servers that misbehave in every way, all at once, beside one that behaves.
func TestHostileServers(t *testing.T) {
	r := begin(t,
		"12 servers at once send garbage, endless lines and banners, floods, answers that are "+
			"late or none, or lie, or fail in TLS",
		"the attackers of the one good server are banned all the time; memory below 350 MB; no "+
			"crash",
	)
	s := newSite(t, 1)
	good := s.pbxs[0]
	const banner = "Asterisk Call Manager/11.0.0\r\n"
	long := strings.Repeat("A", 1<<16)

	s.listen(t, "endless-banner", forever(long))
	s.listen(t, "garbage", forever("\x00\xff\x1b[2J\r\n\r\n%s%n\x80"))
	s.listen(t, "mute", drain)
	s.listen(t, "cuts", func(net.Conn) {})
	s.listen(t, "half-open", func(c net.Conn) { _, _ = io.WriteString(c, banner); drain(c) })
	s.listen(t, "endless-line", func(c net.Conn) { _, _ = io.WriteString(c, banner); forever(long)(c) })
	s.listen(t, "endless-packet", func(c net.Conn) {
		_, _ = io.WriteString(c, banner)
		forever("Key: value\r\n")(c)
	})
	s.listen(t, "empty-packets", func(c net.Conn) { _, _ = io.WriteString(c, banner); forever("\r\n")(c) })
	s.listen(t, "plain-for-tls", forever(banner))
	s.servers[len(s.servers)-1].more = "[server.tls]\nserver_name = \"pbx.example\"\n"
	s.listen(t, "tls-of-another", func(c net.Conn) {
		certificate, _, err := amitest.Certificate("other.example")
		if err != nil {
			return
		}
		drain(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	})
	s.servers[len(s.servers)-1].more = "[server.tls]\nserver_name = \"pbx.example\"\n"

	// Two log in, and misbehave then.
	stalls := s.addPBX(t, amitest.Config{Behaviour: amitest.Behaviour{NoPong: true}})
	liar := s.addPBX(t, amitest.Config{})
	p, _ := s.start(t)
	began := time.Now()
	for i := 0; time.Since(began) < time.Duration(times(5, 120))*time.Second; i++ {
		source := attacker(i)

		// The liar names the attacker as its own address, and as a phone that logs in.
		own := amitest.NewPeer(netip.AddrPortFrom(attacker(i+1), 5060).String())
		own.Transport = "TCP"
		events := own.Register("100")
		for j := range events {
			events[j].Local = netip.AddrPortFrom(source, 5060)
		}
		liar.Emit(events...)
		stalls.Write(bytes.Repeat([]byte("Event: "), 1000))
		r.took("attack at the good server to ban", s.bansOne(t, good, source))
		r.n++
	}

	if mb := p.memory(); mb > most {
		t.Errorf("it used %d MB", mb)
	} else {
		r.note = fmt.Sprint("at most ", mb, " MB")
	}
	p.stop(t)
}

// 200 servers, of which 190 are black holes.
func TestBlackHoles(t *testing.T) {
	r := begin(t,
		"200 servers, 190 of which drop every packet",
		"the 10 others are logged in and their attackers banned; status answers within 3 s",
	)
	s := newSite(t, 10)
	if out, err := s.Command("nft", "add table inet hole; add chain inet hole in { type filter hook input "+
		"priority 0; }; add rule inet hole in tcp dport 7000-7999 drop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range 190 {
		s.servers = append(s.servers, server{
			name: fmt.Sprint("hole", i), address: fmt.Sprint("127.0.0.1:", 7000+i),
		})
	}
	p, took := s.start(t)
	for i := range times(20, 200) {
		began := time.Now()
		if st, err := s.status(t); err != nil || len(st.Servers) != 200 {
			t.Fatalf("status: %d servers, %v", len(st.Servers), err)
		}
		asked := time.Since(began)
		if asked > 3*time.Second {
			t.Errorf("status took %s", asked)
		}
		r.took("attack to ban", s.bansOne(t, s.pbxs[i%10], attacker(i)))
		r.n++
	}
	r.note = fmt.Sprintf("ready after %s, at most %d MB", took.Round(10*time.Millisecond), p.memory())
	p.stop(t)
}

// The stream is cut at every byte of some events, on many servers at once.
func TestCutAtEveryByte(t *testing.T) {
	r := begin(t,
		"the stream of events is cut at each byte, and the session begins anew",
		"each session comes back, nobody is banned for half an event, and the attacker is "+
			"banned by whole ones",
	)
	s := newSite(t, 0)
	victim, source := attacker(1), attacker(2)
	p := amitest.NewPeer(netip.AddrPortFrom(victim, 5060).String())
	p.Transport = "TCP"
	guesses := p.GuessAccount("100")
	text := amitest.Packets(guesses[0]) // one alone: a whole one is evidence

	// As many servers as there are positions to cut at, in turns of fifty.
	const servers = 50
	for range servers {
		s.addPBX(t, amitest.Config{})
	}
	d, _ := s.start(t)
	for turn := range times(1, (len(text)+servers-1)/servers) {
		for i, pbx := range s.pbxs {
			// The last byte would complete the event, and the fourth whole one be a ban.
			if at := turn*servers + i; at < len(text)-2 {
				before := len(pbx.Accepted())
				pbx.Play(amitest.Send(text[:at]), amitest.Cut())
				began := time.Now()
				r.n++
				if i == servers-1 {
					within(t, soon, "the session is back", func() bool {
						return len(pbx.Accepted()) > before && pbx.Sessions() > 0
					})
					r.took("cut to session", time.Since(began))
				}
			}
		}
	}
	within(t, soon, "all sessions are back", func() bool {
		for _, pbx := range s.pbxs {
			if pbx.Sessions() == 0 {
				return false
			}
		}
		return true
	})

	// The last cut may still be under way, and take an event with it.
	within(t, soon, "the attacker is banned", func() bool {
		guess(s.pbxs[0], source, 4)
		time.Sleep(100 * time.Millisecond)
		return s.isBanned(t, source)
	})
	if s.isBanned(t, victim) {
		t.Error("the source of half events is banned")
	}
	d.stop(t)
}

// A thousand flaps: sessions that end as soon as they are up.
func TestFlaps(t *testing.T) {
	r := begin(t,
		"sessions are cut as soon as they are logged in",
		"no session gives up; the attackers of a server that stays are banned; each connects "+
			"about once a second",
	)
	s := newSite(t, 21)
	good := s.pbxs[0]
	p, _ := s.start(t)
	began := time.Now()
	want, accepted := times(60, 1000), 0
	for i := 0; accepted < want; i++ {
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("only %d flaps", accepted)
		}
		accepted = 0
		for _, pbx := range s.pbxs[1:] {
			if pbx.Sessions() > 0 {
				pbx.Cut()
			}
			accepted += len(pbx.Accepted())
		}
		if i%20 == 0 {
			r.took("attack at the good server to ban", s.bansOne(t, good, attacker(i)))
		}
		time.Sleep(20 * time.Millisecond)
	}

	r.n = accepted
	rate := float64(accepted) / time.Since(began).Seconds() / 20
	if rate > 2.5 {
		t.Errorf("%.1f connections a second and server", rate)
	}
	within(t, soon, "all sessions are up", func() bool {
		up := 0
		for _, pbx := range s.pbxs {
			up += min(pbx.Sessions(), 1)
		}
		return up == len(s.pbxs)
	})
	r.note = fmt.Sprintf("%.1f connections a second and server, at most %d MB", rate, p.memory())
	p.stop(t)
}
