package replay

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// TestPlayFrom: a ban of the address that an event names keeps out packets from there, and none that
// come from elsewhere and name it.
func TestPlayFrom(t *testing.T) {
	named, elsewhere := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("198.51.100.20")
	bans := 0
	p, err := NewPlayer(&config.Config{Policy: policy.DefaultOptions()}, func(v policy.Verdict) {
		if v.Action == policy.ActionBan && v.Prefix.Contains(named) {
			bans++
		}
	})
	if err != nil {
		t.Fatal(err)
	}

	begin := time.Date(2026, 11, 28, 14, 0, 0, 0, time.UTC)
	h := policy.NewHasher(policy.FixedSeed)
	event := func(second int) *recording.Event {
		return &recording.Event{Observation: policy.Observation{
			At:     begin.Add(time.Duration(second) * time.Second).UnixNano(),
			Kind:   policy.KindInvalidAccountID,
			Source: netip.AddrPortFrom(named, 5060), Service: policy.ServicePJSIP,
			Session: uint64(second), Account: h.Label(fmt.Append(nil, second)),
		}}
	}

	for second := range 20 {
		if _, leftOut := p.PlayFrom(event(second), elsewhere); leftOut {
			t.Fatalf("event %d: left out, though its packet came from elsewhere", second)
		}
	}
	if bans == 0 {
		t.Fatal("20 unknown accounts in 20 s: no ban of whom they name")
	}

	if _, leftOut := p.Play(event(20)); !leftOut {
		t.Error("a packet from the banned address got through")
	}
}
