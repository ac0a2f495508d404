package check

import (
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// hints reports what the check cannot see. managerRead means that manager.conf was checked.
func hints(o Options, managerRead bool) section {
	s := section{title: "hints"}
	if len(o.Config.Allow)+len(o.Config.Names) == 0 {
		s.note("no trunk is allowlisted: write the networks of your SIP providers into [allow] " +
			"prefixes, or their host names into [allow] names; else a ban may stop calls that " +
			"look like an attack")
	}

	if o.PBXConfig == "" {
		s.note("to find your trunks, run where Asterisk runs (from elsewhere, by ssh):\n%s",
			trunkCommand(o.Path))
		s.note("to find settings that hide attacks: amifend check --pbx-config /etc/asterisk")
	}

	if !managerRead {
		s.note("webenabled = yes in manager.conf lets anyone who reaches Asterisk's HTTP port " +
			"forge events, unseen from here; " +
			"look with: asterisk -rx 'manager show settings' (Web Manager must be No)")
	}
	if len(s.lines) == 0 {
		s.ok("none")
	}
	return s
}

// trunkCommand returns a shell command that passes a PBX's trunks to check.
func trunkCommand(path string) string {
	var quoted []string
	for _, c := range pbxconf.Commands() {
		quoted = append(quoted, "'"+c+"'")
	}
	return fmt.Sprintf(`for c in %s; do asterisk -rx "$c"; done | `+
		`amifend check --config '%s' --pbx-config -`,
		strings.Join(quoted, " "), strings.ReplaceAll(path, "'", `'\''`))
}
