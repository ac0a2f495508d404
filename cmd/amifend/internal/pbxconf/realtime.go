package pbxconf

import (
	"fmt"
	"slices"
	"strings"
)

// realtimeObjects holds the objects of PJSIP that name trunks or settings. The value is the command
// that shows them, whether they come from a file or a database.
var realtimeObjects = map[string]string{
	"identify":     "pjsip show identifies",
	"registration": "pjsip show registrations",
	"aor":          "pjsip show aors",
	"endpoint":     "pjsip show endpoints",
	"global":       "pjsip show settings",
	"transport":    "pjsip show transports",
}

// realtimeFamilies holds the families of extconfig.conf that chan_sip and chan_iax2 read, with the
// command that shows their objects.
var realtimeFamilies = map[string]string{
	"sippeers": "sip show peers",
	"sipregs":  "sip show peers",
	"iaxpeers": "iax2 show peers",
	"iaxusers": "iax2 show users",
}

// wholeFiles are the files that are read here and that a database may hold.
var wholeFiles = [...]string{
	"pjsip.conf", "pjsip_wizard.conf", "sip.conf", "iax.conf", "manager.conf", "http.conf",
}

// realtimeIAX adds the risk of IAX2 whose accounts come from a database.
func (f *finder) realtimeIAX(v variable) {
	known := slices.ContainsFunc(f.Risks, func(r Risk) bool { return r.Text == textIAX })
	if !known && f.modules.loaded("chan_iax2") {
		f.Risks = append(f.Risks, Risk{RiskIAX, v.where + " " + v.name, textIAX, doIAX})
	}
}

// realtime adds a Problem for each kind of object that Asterisk reads from a database.
func (f *finder) realtime() {
	for _, s := range f.quietly("sorcery.conf") {
		for _, v := range s.vars {
			// OBJECT/cache names only a cache.
			object, _, cached := strings.Cut(v.name, "/")
			command, ok := realtimeObjects[object]
			if ok && !cached && strings.HasPrefix(strings.ToLower(v.value), "realtime") {
				f.fromDatabase(v, command)
			}
		}
	}

	for _, s := range f.quietly("extconfig.conf") {
		for _, v := range s.vars {
			if command, ok := realtimeFamilies[v.name]; ok {
				f.fromDatabase(v, command)
			}
			if strings.HasPrefix(v.name, "iax") {
				f.realtimeIAX(v)
			}

			// A whole file may come from the database (`manager.conf => odbc,…`). Asterisk then
			// ignores the one on the disk.
			if slices.Contains(wholeFiles[:], v.name) {
				f.Realtime = true
				f.Problems = append(f.Problems, Problem{v.where, v.name + " comes from a database " +
					"(realtime), which is not read: what it says on the disk does not count"})
			}
		}
	}
}

// quietly returns the sections of a file, or none if it cannot be read. It reports no Problem,
// because many systems lack these files.
func (f *finder) quietly(name string) []*section {
	sections, _, err := readConfig(f.dir, name)
	if err != nil {
		return nil
	}
	return sections
}

// fromDatabase adds the Problem of one kind of object.
func (f *finder) fromDatabase(v variable, command string) {
	shows := "its trunks"
	switch v.name {
	case "endpoint":
		shows = "its outbound proxies, and whether there is an endpoint anonymous,"
	case "global":
		shows = "endpoint_identifier_order"
	case "transport":
		shows = "the ports"
	case "iaxusers":
		shows = "its accounts"
	}

	f.Realtime = true
	f.Problems = append(f.Problems, Problem{v.where, fmt.Sprintf(
		"%s comes from a database (realtime), which is not read; to see %s run: asterisk -rx %q",
		v.name, shows, command)})
}
