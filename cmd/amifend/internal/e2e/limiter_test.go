//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// floodRate is how many forged requests come in a second.
const floodRate = 20_000

// forgedFlood sends REGISTERs in the name of 131,072 addresses until ctx ends, as fast as floodRate. It
// returns how many.
func forgedFlood(ctx context.Context, w *world) (sent int, err error) {
	const header = 20 + 8
	var fd int
	err = w.Net(lab.Attack).Do(func() (err error) {
		fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)

	to := &syscall.SockaddrInet4{Addr: lab.PBX4.As4()}
	began := time.Now()
	for ctx.Err() == nil {
		for due := int(time.Since(began).Seconds() * floodRate); sent < due; sent++ {
			// A step that is prime to the size visits each address once a round.
			n := uint32(sent) * 40503 % (1 << 17)
			src := netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
			text := fmt.Sprintf("REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%d\r\n"+
				"Max-Forwards: 70\r\nFrom: <sip:1001@%[1]s>;tag=%[3]d\r\nTo: <sip:1001@%[1]s>\r\n"+
				"Call-ID: f%[3]d\r\nCSeq: 1 REGISTER\r\nContact: <sip:1001@%[2]s>\r\n"+
				"Content-Length: 0\r\n\r\n", lab.PBX4, src, sent)

			p := make([]byte, header, header+len(text))
			p[0], p[8], p[9] = 0x45, 64, syscall.IPPROTO_UDP
			copy(p[12:], src.AsSlice())
			copy(p[16:], lab.PBX4.AsSlice())
			binary.BigEndian.PutUint16(p[20:], 5060)
			binary.BigEndian.PutUint16(p[22:], 5060)
			binary.BigEndian.PutUint16(p[24:], uint16(8+len(text))) // without a checksum
			if err := syscall.Sendto(fd, append(p, text...), 0, to); err != nil {
				return sent, err
			}
		}
		time.Sleep(time.Millisecond)
	}
	return sent, nil
}

// asteriskTime returns the processor time that the lab's Asterisk has taken so far.
func (w *world) asteriskTime(t *testing.T) (total time.Duration) {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100
	pids, err := w.Exec(t.Context(), lab.PBX, "ip", "netns", "pids", "amifend-lab-"+w.Name+"-pbx")
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(pids) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || !strings.Contains(string(stat), "(asterisk)") {
			continue
		}
		var user, system int64
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
			t.Fatal(err)
		}
		total += time.Duration(user+system) * tick
	}
	if total == 0 {
		t.Fatal("Asterisk is not found")
	}
	return total
}

// A forged flood is kept from Asterisk, and a phone that logged in before registers on. What it costs
// Asterisk is logged, with the limiter and without.
func TestLimiterUnderFlood(t *testing.T) {
	w := newWorld(t, "sid", "limiter")
	for _, mode := range []string{"observe", "on"} {
		t.Run(mode, func(t *testing.T) {
			d := w.fresh(t, settings{control: true, more: fmt.Sprintf("\n[limiter]\nmode = %q\n", mode)})
			phone := w.phone(t, sip.UDP, netip.MustParseAddr("10.20.0.101"), "1001")
			if err := patiently(t.Context(), func(ctx context.Context) error {
				return phone.Register(ctx, time.Minute)
			}); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "the limiter works, and knows the phone", func() bool {
				got := w.ask(t, d, "limited")
				want := "limiter: observes: it drops nothing; 1 source logged in and exempt"
				if mode == "on" {
					want = "limiter: on; 1 source logged in and exempt"
				}
				return strings.Contains(got, want)
			})

			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			var flood sync.WaitGroup
			var sent int
			var floodErr error
			before, began := w.asteriskTime(t), time.Now()
			flood.Go(func() { sent, floodErr = forgedFlood(ctx, w) })

			// A register that Asterisk does not answer is tried again, as phones do.
			answered, tried := 0, 0
			for ctx.Err() == nil {
				one, done := context.WithTimeout(ctx, 500*time.Millisecond)
				tried++
				if phone.Register(one, time.Minute) == nil {
					answered++
				}
				done()
				time.Sleep(500 * time.Millisecond)
			}
			flood.Wait()
			took := w.asteriskTime(t) - before
			t.Logf("%d forged requests in %.1f s: Asterisk took %.0f %% of a processor; "+
				"%d of %d registrations of a known phone answered within 500 ms", sent,
				time.Since(began).Seconds(), 100*took.Seconds()/time.Since(began).Seconds(), answered, tried)
			t.Log(w.ask(t, d, "status"))
			if floodErr != nil {
				t.Fatal(floodErr)
			}

			// What the kernel counts is read each ten seconds.
			want := "would have been dropped"
			if mode == "on" {
				want = "packets dropped"
			}
			eventually(t, time.Minute, "the limiter counts", func() bool {
				return strings.Contains(w.ask(t, d, "limited"), want)
			})
			if mode == "on" && answered == 0 {
				t.Error("no registration of the phone was answered")
			}
			if err := patiently(t.Context(), func(ctx context.Context) error {
				return phone.Register(ctx, time.Minute)
			}); err != nil {
				t.Errorf("the phone after the flood: %v", err)
			}
			w.unbanned(t, lab.PBX, phone.Local.Addr())
		})
	}
}

// A trunk that nobody allowed, and that Asterisk knows by its address, never logs in: its calls free
// it. When amifend is killed, the kernel alone ends the limiter.
func TestLimiterSparesTrunk(t *testing.T) {
	w := newWorld(t, "sid", "limiter-trunk")
	d := w.fresh(t, settings{
		control: true, more: "\n[limiter]\nmode = \"on\"\nper_minute = 1\nburst = 10\n",
	})
	eventually(t, time.Minute, "the limiter works", func() bool {
		return strings.Contains(w.ask(t, d, "limited"), "limiter: on;")
	})

	const requests = 30
	trunk := surely(w.dial(t, lab.Trunk, sip.UDP, lab.ITSP))
	caller := sip.NewPhone(trunk, "49301234", "")
	if err := caller.Call(t.Context(), "600", 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i := range requests {
		if _, err := trunk.Attempt(t.Context(), sip.Request{Method: "OPTIONS", From: "49301234"}); err != nil {
			t.Fatalf("request %d of the trunk: %v", i, err)
		}
	}
	if got := w.ask(t, d, "limited"); strings.Contains(got, lab.ITSP.String()) {
		t.Errorf("the trunk is limited:\n%s", got)
	}

	drops := func() string {
		got, err := w.Exec(t.Context(), lab.PBX, "nft", "list", "set", "inet", "amifend", "limiter_drops")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := drops(); !strings.Contains(got, "elements") {
		t.Fatalf("it does not drop:\n%s", got)
	}
	d.kill()
	eventually(t, time.Minute, "the limiter ends by itself", func() bool {
		return !strings.Contains(drops(), "elements")
	})
}
