// Package audit implements `amifend audit`: it looks at PBXs as an attacker does, and reports what
// one would find.
//
// It looks in four ways: from outside, at what the daemon has seen, at the PBX's configuration, and
// at the advisories that the PBX's version lacks. It changes nothing. The network traffic goes to the
// servers of the config only, see package probe. No output holds a password: see package finding.
//
// Its probes raise security events that name this machine. It sends them only from an address that
// amifend protects, see [vantage].
package audit

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/advisory"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/pbx"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/probe"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Options select what to look at.
type Options struct {
	// Config holds the servers; nil: none is looked at from outside.
	Config  *config.Config
	Offline bool   // no connection at all
	Server  string // the only server to look at; "": all

	PBXConfig string // the folder of the PBX's config files; "": it is not looked at
	Account   string // a SIP account that exists; "": the first one of the PBX's config
	Version   string // the PBX's version, as `asterisk -V` prints it; "": what the PBX shows
	// Changelog is the changelog of the PBX's package, as a file; "": OwnChangelog if the PBX is this
	// machine.
	Changelog    string
	OwnChangelog string // of the package on this machine, if it is there
	Ports        probe.Ports

	// Daemon answers what it has seen; nil: nothing does.
	Daemon Daemon
	// Time limits the probes; 0: they take as long as they do. Servers that are left then are not
	// looked at from outside.
	Time time.Duration
	// Plan is where the probes are named before they are sent; nil: nowhere.
	Plan   io.Writer
	Screen screen.Screen // what Plan is
	// NetNS is the descriptor of the network namespace with this machine's addresses; 0: the
	// caller's.
	NetNS int
}

// Daemon answers what the daemon has seen. A control.Client does.
type Daemon interface {
	Status(ctx context.Context) (control.Status, error)
	Alerts(ctx context.Context, q control.AlertQuery) (control.AlertList, error)
	Logins(ctx context.Context, since time.Duration) (control.LoginList, error)
}

// Result is what was found. It is the JSON output.
type Result struct {
	At         time.Time         `json:"at"`
	Findings   []finding.Finding `json:"findings"` // the worst first
	Sections   []Section         `json:"sections"`
	Advisories string            `json:"advisories_date"` // of the table of advisories
}

// Section reports how far one way of looking got.
type Section struct {
	Depth  finding.Depth `json:"depth"`
	Looked bool          `json:"looked"` // at something
	Notes  []string      `json:"notes"`  // what was looked at
	// Missed names what could not be looked at, and why.
	Missed []string `json:"missed"`
	// Wanted reports that the caller asked for this way, so what was missed counts.
	Wanted bool `json:"-"`
}

// note adds what was looked at.
func (s *Section) note(format string, args ...any) {
	s.Looked = true
	s.Notes = append(s.Notes, finding.Plain(fmt.Sprintf(format, args...)))
}

// miss adds what could not be looked at.
func (s *Section) miss(format string, args ...any) {
	s.Missed = append(s.Missed, finding.Plain(fmt.Sprintf(format, args...)))
}

// The exit codes.
const (
	ExitFine     = 0 // nothing serious
	ExitFindings = 1 // findings of severity medium or worse
	ExitBlind    = 2 // nothing serious, but something could not be looked at
)

// Exit returns the exit code of a result.
func (r Result) Exit() int {
	if slices.ContainsFunc(r.Findings, func(f finding.Finding) bool {
		return f.Severity >= finding.Medium
	}) {
		return ExitFindings
	}
	if slices.ContainsFunc(r.Sections, func(s Section) bool {
		return s.Wanted && len(s.Missed) > 0
	}) {
		return ExitBlind
	}
	return ExitFine
}

// Run looks, and returns what it found. The error is that of a ctx that ended too early, or of
// writing the plan; what cannot be looked at is in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	look := &look{o: o, versions: map[string]version{}}
	r := Result{At: time.Now(), Advisories: advisory.Date}

	// The configuration comes first: it names an account that the probes can compare with.
	inConfig := look.config(ctx)
	outside, err := look.outside(ctx)
	if err != nil {
		return Result{}, err
	}
	r.Sections = []Section{outside, look.daemon(ctx), inConfig, look.version()}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("audit: interrupted: %w", err)
	}

	r.Findings = look.found
	if r.Findings == nil {
		r.Findings = []finding.Finding{}
	}
	finding.Sort(r.Findings)
	for i := range r.Sections {
		// Empty lists are lists in JSON.
		r.Sections[i].Notes = append([]string{}, r.Sections[i].Notes...)
		r.Sections[i].Missed = append([]string{}, r.Sections[i].Missed...)
	}
	return r, nil
}

// look gathers findings.
type look struct {
	o        Options
	found    []finding.Finding
	accounts []string           // SIP accounts of the PBX's configuration
	versions map[string]version // by server
	plainAMI map[string]bool    // servers whose AMI was found to be without TLS
}

// version is what a server shows of its version.
type version struct {
	text  string // with the exact version; "": it shows none
	by    string // where it stands
	ami   string // of the banner
	local bool   // the server is this machine
}

// add adds findings.
func (l *look) add(found ...finding.Finding) { l.found = append(l.found, found...) }

// config looks at the PBX's configuration.
func (l *look) config(ctx context.Context) Section {
	s := Section{Depth: finding.Config, Wanted: l.o.PBXConfig != ""}
	if l.o.PBXConfig == "" {
		s.miss("the PBX's configuration: run on the PBX, as root: amifend audit --pbx-config " +
			"/etc/asterisk")
		return s
	}

	var users []string
	for _, server := range l.servers() {
		users = append(users, server.Username)
	}
	r, err := pbx.Look(ctx, pbx.Options{Dir: l.o.PBXConfig, Users: users})
	if err != nil {
		s.miss("%s", err)
		return s
	}

	s.note("%s: %s", l.o.PBXConfig, wording.Count(len(r.Accounts), "SIP account"))
	for _, p := range r.Problems {
		s.miss("%s", p)
	}
	l.add(r.Findings...)
	l.accounts = r.Accounts
	return s
}

// servers returns the servers to look at.
func (l *look) servers() []config.Server {
	if l.o.Config == nil {
		return nil
	}
	if l.o.Server == "" {
		return l.o.Config.Servers
	}
	return slices.DeleteFunc(slices.Clone(l.o.Config.Servers), func(s config.Server) bool {
		return s.Name != l.o.Server
	})
}
