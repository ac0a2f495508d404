package probe

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
)

// hostile serves TCP and UDP at one port of 127.0.0.1, as talk says, and returns the port.
func hostile(t *testing.T, talk func(context.Context, net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(ctx, c)
			}()
		}
	}()

	// UDP: a flood of answers to whoever asks.
	addr := l.Addr().(*net.TCPAddr)
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	go func() {
		buffer := make([]byte, 65_000)
		for {
			_, from, err := u.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			for range 100 {
				_, _ = u.WriteToUDP(bytes.Repeat([]byte("SIP/2.0 200 \x1b[2J"), 4000), from)
			}
		}
	}()
	return uint16(addr.Port)
}

// Whatever a PBX sends, and however slowly, the probes end in time, with little memory, and take it
// for no answer.
func TestHostileServers(t *testing.T) {
	for name, talk := range map[string]func(context.Context, net.Conn){
		"silent": func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
		"endless line": func(ctx context.Context, c net.Conn) {
			for ctx.Err() == nil {
				if _, err := c.Write(bytes.Repeat([]byte("A"), 1<<16)); err != nil {
					return
				}
			}
		},
		"endless header": func(ctx context.Context, c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for ctx.Err() == nil {
				if _, err := c.Write(bytes.Repeat([]byte("Server: \x1b]0;x\x07A\r\n"), 1<<12)); err != nil {
					return
				}
			}
		},
		"drops": func(ctx context.Context, c net.Conn) {
			for ctx.Err() == nil {
				if _, err := c.Write([]byte("S")); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := hostile(t, talk)
			target := Target{
				Host: "127.0.0.1",
				AMI: ami.Config{
					Address: address("127.0.0.1", port), Username: "amifend", Secret: ami.NewSecret("x"),
					Timeouts: ami.Timeouts{Connect: time.Second, Login: time.Second},
				},
				Ports: Ports{SIP: port, SIPS: port, HTTP: port, HTTPS: port, AMI: port},
				Wait:  200 * time.Millisecond,
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			// The limit is far above what the probes take.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			a := LookAMI(ctx, target)
			f, err := Look(ctx, target)
			if err != nil {
				t.Fatalf("not in time: %v", err)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 128<<20 {
				t.Errorf("%d MB", grown>>20)
			}

			if a.Err == nil || target.hasBanner(ctx, port) {
				t.Errorf("a login: %+v", a)
			}
			if a.Err != nil && strings.ContainsAny(a.Err.Error(), "\x1b\x07") {
				t.Errorf("unprintable: %q", a.Err)
			}
			for _, s := range f.SIP {
				if s.Status != 0 {
					t.Errorf("%+v", s)
				}
			}
			for _, p := range f.HTTP {
				if p.StatusPage || p.WebManager || p.Answers {
					t.Errorf("%+v", p)
				}
			}
			for _, h := range f.TLS {
				if h.Answers {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}
