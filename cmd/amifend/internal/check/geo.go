package check

import (
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/geo"
)

// oldGeo is the age from which a file of [geo] is too old: networks move from country to country, and
// free files come anew each month.
const oldGeo = 60 * 24 * time.Hour

// adviseGeo is what to do about a file that cannot be used.
const adviseGeo = "fetch it anew (docs/operating.md, Names of addresses), readable for the user of " +
	"amifend"

// geoSection reports whether the files of [geo] can be used. Without them only names are missing, so
// no problem of theirs is a failure.
func geoSection(o Options) section {
	c := o.Config.Geo
	s := section{title: "names of addresses"}
	countries := false
	for _, path := range c.Files {
		info, err := geo.Read(path)
		age := time.Since(info.Built)
		switch {
		case err != nil:
			s.warn("%s: %s; %s", path, plain(err.Error()), adviseGeo)
		case age > oldGeo:
			s.warn("%s (%s) was built %s, %d days ago: countries and networks have changed since; "+
				"fetch it anew each month", path, info.Kind, info.Built.UTC().Format(time.DateOnly),
				int(age.Hours()/24))
		default:
			s.ok("%s: %s, built %s", path, info.Kind, info.Built.UTC().Format(time.DateOnly))
		}
		countries = countries || info.Country
	}

	if len(c.Expected) > 0 && !countries {
		s.warn("expected_countries raises no alert: no file of [geo] seems to know countries; add one " +
			"such as dbip-country-lite.mmdb")
	}
	return s
}
