package audit

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

//go:embed page.html
var page string

// WriteHTML writes a result as a page that loads nothing from elsewhere.
func WriteHTML(w io.Writer, r Result) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"source": source,
		"date":   func(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") },
		"more":   func(places []string) int { return max(0, len(places)-mostInPage) },
		"some":   func(places []string) []string { return places[:min(len(places), mostInPage)] },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}

	err = t.Execute(w, struct {
		Result
		Summary control.Audit
		Verdict string
	}{r, Summarize(r), Verdict(r)})
	if err != nil {
		return fmt.Errorf("write what was found: %w", err)
	}
	return nil
}

// mostInPage is how many places of a finding the page shows.
const mostInPage = 40
