package live

import (
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// rateRow is one of the rates.
type rateRow struct {
	label string
	rate  float64
	of    func(control.LiveCounts) uint64
}

func (m *model) rateRows() []rateRow {
	bans := "bans"
	if m.data.Dry {
		bans = "observed"
	}
	return []rateRow{
		{"events", m.rates.events, func(c control.LiveCounts) uint64 { return c.Events }},
		{"attempts", m.rates.attempts, func(c control.LiveCounts) uint64 { return c.Attempts }},
		{bans, m.rates.bans, func(c control.LiveCounts) uint64 { return c.Bans }},
		{"dropped", m.rates.dropped, func(c control.LiveCounts) (n uint64) {
			if c.Dropped != nil {
				n = *c.Dropped
			}
			return n
		}},
	}
}

// rateTable returns a line for each rate, with the last hour. titled is with a line above.
func (m *model) rateTable(width int, titled bool) (out []string) {
	const label, rate = 9, 8
	s := &m.style
	spark := max(0, min(sparkWidth, width-label-rate-3))
	rest := width - label - rate - 3 - spark
	if titled {
		out = append(out, s.text(screen.Bold, fit(fit("RATES", label+1, s)+fitRight("NOW", rate, s)+
			"  LAST HOUR, a bar a minute", width, s)))
	}

	for _, r := range m.rateRows() {
		var values []uint64
		var hour, most uint64
		for _, c := range m.data.Minutes {
			values = append(values, r.of(c))
			hour += r.of(c)
			most = max(most, r.of(c))
		}
		line := " " + fit(r.label, label, s) + s.text(screen.Bold, fitRight(rateText(r.rate), rate, s)) +
			"  " + s.text(sparkStyle, s.spark(values, spark))
		if rest > 0 {
			text := "  most " + number(most) + "/min"
			if rest > 2*len(text) {
				text += ", " + number(hour) + " in all"
			}
			line += fit(text, rest, s)
		}
		out = append(out, line)
	}
	return out
}

// sparkStyle is the style of the bars: cyan.
const sparkStyle screen.Style = "\x1b[36m"

// shortRates returns all rates in a line.
func (m *model) shortRates() string {
	var parts []string
	for _, r := range m.rateRows() {
		parts = append(parts, r.label+" "+rateText(r.rate))
	}
	line := strings.Join(parts, "  ")
	if len(line) > m.width { // a few letters of each are enough to tell them apart
		parts = parts[:0]
		for _, r := range m.rateRows() {
			parts = append(parts, r.label[:2]+" "+rateText(r.rate))
		}
		line = strings.Join(parts, " ")
	}
	return fit(line, m.width, &m.style)
}
