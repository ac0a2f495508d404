package overview

import (
	"fmt"
	"slices"
	"strings"
)

// chart is a chart of SVG, drawn in units of a phone's pixels.
type chart struct {
	ID, Title     string
	Width, Height int
	Summary       string // the chart in a sentence
	Bars          []bar
	Lines         []line // of the scale
	Rows          bool   // the bars lie
	Long          bool   // too many bars for an open table
}

// bar is a bar of a chart.
type bar struct {
	Name  string
	Value uint64

	X, Y, W, H     float64
	Label          string // below a column, "": none; or before a row
	LabelX, LabelY float64
}

// Number returns the value for people.
func (b bar) Number() string { return number(b.Value) }

// line is a line of the scale.
type line struct {
	Y    float64
	Text string
}

// The measures of a chart.
const (
	chartWidth   = 340
	columnsTop   = 12
	columnsBase  = 140
	columnsLeft  = 44
	mostLabels   = 7
	rowHeight    = 34
	mostOpenRows = 31
)

// empty reports whether there is nothing to show.
func (c chart) empty() bool {
	return !slices.ContainsFunc(c.Bars, func(b bar) bool { return b.Value > 0 })
}

// Shown reports whether the chart has anything to show.
func (c chart) Shown() bool { return !c.empty() }

// columns returns a chart of columns, one for each hour or day.
func columns(id, title string, all []bar) chart {
	c := chart{
		ID: id, Title: title, Width: chartWidth, Height: columnsBase + 24, Bars: all,
		Long: len(all) > mostOpenRows,
	}
	if c.empty() {
		return c
	}

	top := roundUp(most64(all))
	for _, part := range []float64{0, 0.5, 1} {
		c.Lines = append(c.Lines, line{
			Y:    columnsBase - part*(columnsBase-columnsTop),
			Text: short(uint64(part * float64(top))),
		})
	}

	// Only as many names stand below as there is room for.
	room := float64(chartWidth-columnsLeft) / float64(len(all))
	each := (len(all) + mostLabels - 1) / mostLabels
	for i := range all {
		b := &all[i]
		b.W = max(room*0.8, 0.5)
		b.X = columnsLeft + float64(i)*room + (room-b.W)/2
		b.H = float64(b.Value) / float64(top) * (columnsBase - columnsTop)
		b.Y = columnsBase - b.H
		b.LabelX, b.LabelY = b.X+b.W/2, columnsBase+16
		if i%each == 0 {
			b.Label, _, _ = strings.Cut(b.Name, " ")
		}
	}

	peak := slices.MaxFunc(all, func(a, b bar) int { return compare(a.Value, b.Value) })
	c.Summary = fmt.Sprintf("%s in all; most on %s: %s.", number(sum(all)), peak.Name,
		peak.Number())
	return c
}

// bars returns a chart of lying bars, for names.
func bars(id, title string, all []bar) chart {
	c := chart{
		ID: id, Title: title, Width: chartWidth, Height: len(all)*rowHeight + 4, Bars: all,
		Rows: true,
	}
	if c.empty() {
		return c
	}

	top := most64(all)
	for i := range all {
		b := &all[i]
		b.X, b.Y = 0, float64(i*rowHeight)+18
		b.W = max(float64(b.Value)/float64(top)*chartWidth, 1)
		b.H = 10
		b.Label, b.LabelX, b.LabelY = clip(b.Name, 36)+": "+short(b.Value), 0, b.Y-5
	}
	share := float64(all[0].Value) / float64(sum(all)) * 100
	c.Summary = fmt.Sprintf("Most from %s: %s (%.0f %% of those shown).", all[0].Name,
		all[0].Number(), share)
	return c
}

// write writes the numbers of a chart as text.
func (c *chart) write(b *strings.Builder) {
	if c.empty() || c.Long {
		return
	}
	b.WriteString("\n" + strings.ToLower(c.Title[:1]) + c.Title[1:] + "\n")
	for _, one := range c.Bars {
		fmt.Fprintf(b, "  %s: %d\n", one.Name, one.Value)
	}
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func most64(all []bar) (top uint64) {
	for _, b := range all {
		top = max(top, b.Value)
	}
	return top
}

func sum(all []bar) (n uint64) {
	for _, b := range all {
		n += b.Value
	}
	return n
}

// roundUp returns the next number whose half is a number that people like to read.
func roundUp(n uint64) uint64 {
	for unit := uint64(1); ; unit *= 10 {
		for _, step := range []uint64{2, 4, 6, 8, 10} {
			if n <= step*unit || unit >= 1e18 {
				return step * unit
			}
		}
	}
}

// short returns a number in a few characters.
func short(n uint64) string {
	for _, unit := range []struct {
		size uint64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			text := fmt.Sprintf("%.1f", float64(n)/float64(unit.size))
			return strings.TrimSuffix(text, ".0") + unit.name
		}
	}
	return fmt.Sprint(n)
}

// clip returns at most width characters of a text.
func clip(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return text
}
