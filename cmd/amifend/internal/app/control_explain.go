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
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// Explain tells all that is known of an address.
func (k *desk) Explain(ctx context.Context, addr netip.Addr) (control.Explanation, error) {
	type answer struct {
		x       policy.Explanation
		servers []string
		trial   *control.Trial
	}
	a, err := ask(ctx, k.judge.asks, askJudge, func() answer {
		return answer{k.judge.engine.Explain(addr), k.judge.servers, k.judge.trialStatus()}
	})
	if err != nil {
		return control.Explanation{}, err
	}
	var text strings.Builder
	out := control.Explanation{Denied: k.deniedBy(addr)}
	if out.Denied != "" {
		fmt.Fprintf(&text, "%s is always dropped: listed in %s; to let it in, take it out there and say amifend reload, or amifend allow %[1]s\n", addr, out.Denied)
	}
	if err := explain.Text(&text, a.x, explain.Options{Servers: a.servers, Location: control.Zone(ctx), Dry: k.config.Load().Dry() || a.trial != nil && a.trial.Over}); err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}
	if a.trial != nil && a.x.Banned {
		text.WriteString("  trial:     " + trialLine(a.trial) + "\n")
	}
	detail, err := json.Marshal(explain.New(a.x, a.servers))
	if err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}
	out.Text, out.Detail = text.String(), detail
	if out.Bans, err = k.bansOf(ctx, addr); err != nil {
		return out, err
	}
	out.Past, out.Alerts = k.past(ctx, addr)
	return out, nil
}

// How the journal is asked for the past: it may be large, and its disk slow.
const (
	pastMost = 10
	pastTime = 5 * time.Second
)

// past returns the latest bans that covered an address, and the latest alerts about it. Without an answer there is none: the
// status says what is wrong with the journal.
func (k *desk) past(ctx context.Context, addr netip.Addr) (bans []control.PastBan, alerts []control.Alert) {
	err := k.remember(ctx, func(ctx context.Context, j *journal.Journal) error {
		found, err := j.History(ctx, addr, pastMost)
		if err != nil {
			return err
		}
		bans = pastBans(found)
		told, err := j.AlertsOf(ctx, addr, "", time.Time{}, pastMost)
		alerts = toldAlerts(told)
		return err
	})
	if err != nil {
		k.Log.Debug("control: the past is not known", "err", err)
	}
	return bans, alerts
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
