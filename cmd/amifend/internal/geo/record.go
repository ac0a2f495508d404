package geo

import (
	"strconv"
	"strings"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// record has the fields of all formats. Those whose type differs from format to format are any.
//
//	GeoLite2, GeoIP2 and DB-IP   country.iso_code, autonomous_system_number, …_organization
//	DB-IP, location with ISP     the same two below traits
//	IPinfo                       country ("DE"), asn ("AS64500"), name
//	IPinfo Lite and Core         country ("Germany"), country_code, asn, as_name
type record struct {
	Country     any    `maxminddb:"country"`
	CountryCode any    `maxminddb:"country_code"`
	ASN         any    `maxminddb:"asn"`
	ASName      any    `maxminddb:"as_name"`
	Name        any    `maxminddb:"name"`
	Traits      system `maxminddb:"traits"`

	Number       uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

// system is an autonomous system.
type system struct {
	Number       uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

// fill adds to an origin what it lacks.
func (r *record) fill(o *control.Origin) {
	if o.Country == "" {
		o.Country = r.country()
	}
	if o.ASN != 0 {
		return
	}

	// Number and name belong together, so both come from one file.
	o.ASN, o.Network = r.Number, printable(r.Organization)
	if o.ASN == 0 {
		o.ASN, o.Network = r.Traits.Number, printable(r.Traits.Organization)
	}
	if text, ok := r.ASN.(string); ok && o.ASN == 0 {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "AS"), 10, 32)
		if err != nil {
			return
		}
		o.ASN, o.Network = uint32(n), textOf(r.ASName)
		if o.Network == "" {
			o.Network = textOf(r.Name)
		}
	}
}

// country returns the code of the country, "" if there is none.
func (r *record) country() string {
	if m, ok := r.Country.(map[string]any); ok {
		return code(m["iso_code"])
	}
	if c := code(r.CountryCode); c != "" {
		return c
	}
	return code(r.Country)
}

// code returns a value if it is the code of a country: two capital letters.
func code(v any) string {
	s, _ := v.(string)
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return strings.Clone(s)
}

func textOf(v any) string {
	s, _ := v.(string)
	return printable(s)
}

// printable returns a text that somebody else chose, ready to be printed: as it is if it is
// printable ASCII of at most 64 bytes, else in the form of [ami.Quote].
func printable(text string) string {
	quoted := ami.Quote([]byte(text))
	if quoted == `"`+text+`"` {
		return quoted[1 : len(quoted)-1]
	}
	return quoted
}
