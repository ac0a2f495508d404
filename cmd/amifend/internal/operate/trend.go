package operate

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// Bounds of a trend.
const (
	week       = 7 * 24 * time.Hour
	mostSteps  = 400 // days; a longer report has none
	mostShares = 8
	mostPhones = 50
	weeklyMost = 10 // of each list of a weekly report
)

// Weekly returns the report of the last seven days.
func (s *Service) Weekly(ctx context.Context) (control.Report, error) {
	return s.Report(ctx, control.ReportQuery{Since: week, Limit: weeklyMost, Trend: true})
}

// trend returns how the time of a report went.
func (s *Service) trend(
	ctx context.Context, j *journal.Journal, from, to time.Time,
) (*control.Trend, error) {
	t := &control.Trend{BeforeFrom: from.Add(-to.Sub(from)).Truncate(time.Hour)}
	now, err := j.Numbers(ctx, from, to.Add(time.Hour)) // what happens just now belongs to it
	if err != nil {
		return nil, err
	}
	before, err := j.Numbers(ctx, t.BeforeFrom, from)
	if err != nil {
		return nil, err
	}
	t.Now, t.Before = numbers(now), numbers(before)

	if to.Sub(from) <= mostSteps*24*time.Hour {
		hours, err := j.Hours(ctx, from, to.Add(time.Hour))
		if err != nil {
			return nil, err
		}
		t.Steps = steps(hours, from, to)
	}

	if s.Atlas != nil {
		sources, err := j.Totals(ctx, journal.BySource, from, control.MostReported)
		if err != nil {
			return nil, err
		}
		s.shares(t, sources)
	}

	// Most kinds of alerts tell of attacks. A phone that fails is the one that users can mend.
	phones, _, err := j.Alerts(ctx, "misconfigured_endpoint", from, mostPhones)
	t.Phones = s.pastAlerts(phones)
	return t, err
}

func numbers(n journal.Numbers) control.Numbers {
	return control.Numbers{
		Failures: n.Failures, Logins: n.Logins, Sources: n.Sources, Accounts: n.Accounts,
		Bans: n.Bans, Alerts: n.Alerts,
	}
}

// steps returns the hours of a time, or its days by local time, without a gap.
func steps(hours []journal.Hour, from, to time.Time) (out []control.Step) {
	from, to = from.Local(), to.Local()
	next := func(t time.Time) time.Time { return t.Add(time.Hour) }
	first := from
	if to.Sub(from) > 48*time.Hour {
		// A day may have 23 or 25 hours.
		next = func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }
		year, month, day := from.Date()
		first = time.Date(year, month, day, 0, 0, 0, 0, time.Local)
	}

	for at := first; at.Before(to); at = next(at) {
		out = append(out, control.Step{At: at})
	}
	for _, h := range hours {
		i, found := slices.BinarySearchFunc(out, h.At, func(s control.Step, t time.Time) int {
			return s.At.Compare(t)
		})
		if !found {
			i-- // the day that it is in
		}
		if i < 0 || i >= len(out) {
			continue
		}
		out[i].Failures += h.Failures
		out[i].Logins += h.Logins
		out[i].Bans += h.Bans
	}
	return out
}

// shares adds up sources by country and by network.
func (s *Service) shares(t *control.Trend, sources []journal.Sum) {
	countries, networks := make(map[string]*control.Share), make(map[string]*control.Share)
	add := func(to map[string]*control.Share, name string, failures uint64) {
		if name == "" {
			name = "unknown"
		}
		if to[name] == nil {
			to[name] = &control.Share{Name: name}
		}
		to[name].Failures += failures
		to[name].Sources++
	}

	known := false
	for _, sum := range sources {
		addr, err := netip.ParseAddr(sum.Name)
		if err != nil || sum.Failures == 0 {
			continue
		}
		o := s.Atlas.Located(addr)
		known = known || o != nil
		if o == nil {
			o = &control.Origin{}
		}
		add(countries, o.Country, sum.Failures)
		add(networks, (&control.Origin{ASN: o.ASN, Network: o.Network}).String(), sum.Failures)
	}
	if known {
		t.Countries, t.Networks = largest(countries), largest(networks)
	}
}

// largest returns the shares with the most failures.
func largest(all map[string]*control.Share) (out []control.Share) {
	for _, s := range all {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b control.Share) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), mostShares)]
}
