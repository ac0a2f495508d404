package config

import (
	"slices"
	"strings"
)

// Geo holds where the names of addresses come from.
type Geo struct {
	Files      []string // absolute names of files in MaxMind DB form
	ReverseDNS bool
	// Expected holds the countries from which accounts log in: two capital letters each, sorted,
	// each once; nil: all.
	Expected []string
}

// Equal reports whether g and o are the same.
func (g Geo) Equal(o Geo) bool {
	return slices.Equal(g.Files, o.Files) && g.ReverseDNS == o.ReverseDNS &&
		slices.Equal(g.Expected, o.Expected)
}

// mostGeoFiles bounds [geo] files.
const mostGeoFiles = 8

// geo reads [geo]. The files are not opened: without them only names are missing, so a file that is
// not there yet must not keep amifend from starting.
func (l *loader) geo(raw rawGeo) Geo {
	g := Geo{ReverseDNS: get(l, "geo.reverse_dns", raw.ReverseDNS, false)}
	for i, name := range get(l, "geo.files", raw.Files, nil) {
		if strings.TrimSpace(name) == "" {
			l.problem("geo.files", "%s is empty; write names of files", entry(i))
			continue
		}
		if path := l.abs(name); !slices.Contains(g.Files, path) {
			g.Files = append(g.Files, path)
		}
	}
	if len(g.Files) > mostGeoFiles {
		l.problem("geo.files", "holds %d files; %d are possible", len(g.Files), mostGeoFiles)
	}

	for i, code := range get(l, "geo.expected_countries", raw.Expected, nil) {
		if !isCountry(code) {
			l.problem("geo.expected_countries",
				"%s is not a country; write two letters each, like [\"DE\", \"AT\"]", entry(i))
			continue
		}
		g.Expected = append(g.Expected, strings.ToUpper(code))
	}
	slices.Sort(g.Expected)
	g.Expected = slices.Compact(g.Expected)

	if len(g.Expected) > 0 && !raw.Files.set {
		l.problem("geo.expected_countries", "needs [geo] files: without a file no country is known")
	}
	return g
}

// isCountry reports whether a text has the form of a country's code (ISO 3166-1).
func isCountry(code string) bool {
	return len(code) == 2 && strings.Trim(strings.ToUpper(code), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
