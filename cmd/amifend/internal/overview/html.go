package overview

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

//go:embed page.html
var page string

// gap is a zero width space. Where it stands, a client finds neither a link nor a mention.
const gap = "\u200b"

// unlinked returns a name that others chose, without the beginning of a link or a mention. html/template
// escapes the rest.
func unlinked(text string) string {
	return strings.NewReplacer("://", ":"+gap+"//", "www.", "www"+gap+".", "@", "@"+gap).Replace(text)
}

// coordinate returns a number for SVG.
func coordinate(f float64) string { return fmt.Sprintf("%.1f", f) }

// HTML returns a report as a page of HTML that needs nothing else.
func HTML(r control.Report, o Options) []byte {
	t := template.Must(template.New("page").Funcs(template.FuncMap{
		"name": unlinked, "xy": coordinate,
	}).Parse(page))

	// The page is a constant, and all its values are texts and numbers: it cannot fail.
	var b bytes.Buffer
	if err := t.Execute(&b, newView(r, o)); err != nil {
		panic("overview: the page cannot be made: " + err.Error())
	}
	return b.Bytes()
}
