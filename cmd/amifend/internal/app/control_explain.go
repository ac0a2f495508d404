package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/explain"
	"github.com/amifend/amifend/policy"
)

// Explain tells all that is known of an address.
func (k *desk) Explain(ctx context.Context, addr netip.Addr) (control.Explanation, error) {
	type answer struct {
		x       policy.Explanation
		servers []string
	}
	a, err := ask(ctx, k.judge.asks, askJudge, func() answer {
		return answer{k.judge.engine.Explain(addr), k.judge.servers}
	})
	if err != nil {
		return control.Explanation{}, err
	}
	var text strings.Builder
	if err := explain.Text(&text, a.x, explain.Options{Servers: a.servers, Location: time.Local}); err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}
	detail, err := json.Marshal(explain.New(a.x, a.servers))
	if err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}
	out := control.Explanation{Text: text.String(), Detail: detail}
	if out.Bans, err = k.bansOf(ctx, addr); err != nil {
		return out, err
	}
	out.Past = k.past(ctx, addr)
	return out, nil
}

// How the journal is asked for the past: it may be large, and its disk slow.
const (
	pastMost = 10
	pastTime = 3 * time.Second
)

// past returns the latest bans that covered an address. Without an answer there is none: the status says what is wrong with
// the journal.
func (k *desk) past(ctx context.Context, addr netip.Addr) []control.PastBan {
	if k.records.journal == nil {
		return nil
	}
	k.remembering.Lock() // one at a time: each reads the whole list of bans
	defer k.remembering.Unlock()
	ctx, cancel := context.WithTimeout(ctx, pastTime)
	defer cancel()
	found, err := k.records.journal.History(ctx, addr, pastMost)
	if err != nil {
		k.Log.Debug("control: the past is not known", "err", err)
		return nil
	}
	out := make([]control.PastBan, 0, len(found))
	for _, p := range found {
		out = append(out, control.PastBan{
			Prefix: p.Prefix, Scope: p.Scope, Rule: p.Rule, Attempts: p.Attempts, Evidence: p.Evidence, From: p.From, Until: p.Until,
			Lifted: p.Lifted, By: p.By, Why: p.Why, Observed: p.Observed,
		})
	}
	return out
}

// bansOf returns the bans that cover an address, with what the kernel has of each.
func (k *desk) bansOf(ctx context.Context, addr netip.Addr) (bans []control.Ban, err error) {
	err = k.eachPart(ctx, func(part []control.Ban) {
		for _, b := range part {
			if b.Prefix.Contains(addr) {
				bans = append(bans, b)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range bans {
		el, ok, err := k.table.Element(ctx, bans[i].Prefix, scopeNamed(bans[i].Scope))
		if err == nil && ok && el.Counted { // else the status says what is wrong with the kernel
			bans[i].Dropped = &el.Packets
		}
	}
	return bans, nil
}
