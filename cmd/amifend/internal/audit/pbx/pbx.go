// Package pbx looks for weaknesses in the configuration of an Asterisk: the files of a folder, as
// [pbxconf] reads them.
//
// It judges every password of the files. No result holds one: a finding names the account and the
// place.
package pbx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// Options select what to look at.
type Options struct {
	Dir string // the folder of Asterisk's config files
	// Users are the manager users as which amifend logs in, whose event filters count.
	Users []string
}

// Result is what was found.
type Result struct {
	Findings []finding.Finding // of each kind one at most
	Problems []string          // what was not read, and may hide findings
	// Accounts are names of SIP accounts, in the order of the files. If both PJSIP and chan_sip have
	// accounts, only those that both have: nobody can say which driver answers at a port.
	Accounts []string
}

// Look reads and judges a folder. It is an error if the folder names no accounts, trunks or ports,
// as in [pbxconf.Read], or if ctx ends.
func Look(ctx context.Context, o Options) (Result, error) {
	conf, err := pbxconf.Read(pbxconf.Options{Dir: o.Dir, Users: o.Users})
	if err != nil {
		return Result{}, err
	}

	l := &looker{
		ctx: ctx, dir: o.Dir, conf: conf, modules: pbxconf.ReadModules(o.Dir),
		users: o.Users, files: map[string]file{}, places: map[string][]string{},
	}
	for _, p := range conf.Problems {
		l.problem(p.String())
	}

	l.judgeAll()
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("look at %s: interrupted: %w", o.Dir, err)
	}
	return l.result(), nil
}

// judgeAll judges all files.
func (l *looker) judgeAll() {
	// The dialplan comes before the accounts, whose contexts are judged by it.
	l.readDialplan()
	l.risks()
	l.pjsip()
	l.chanSIP()
	l.iax()
	l.otherSecrets()
	l.manager()
	l.settings()
	l.callerText()
	l.rights()
	l.judgeSecrets()
}

// looker gathers what is found. A kind becomes one finding with all its places.
type looker struct {
	ctx     context.Context
	dir     string
	conf    *pbxconf.Config
	modules pbxconf.Modules
	users   []string
	files   map[string]file

	dialplan dialplan
	secrets  []secret
	// pjsipNames and sipNames are the accounts of PJSIP and of chan_sip.
	pjsipNames, sipNames []string
	// guests are the contexts of callers without an account, each with the place that says so.
	guests []guest

	kinds    []string // in the order in which they were found
	places   map[string][]string
	problems []string
}

// guest is a context of callers without an account.
type guest struct{ context, where string }

// file is a config file that was read.
type file struct {
	sections []pbxconf.Section
	found    bool
}

// add adds a place to the finding of a kind.
func (l *looker) add(kind, format string, args ...any) {
	if _, known := l.places[kind]; !known {
		l.kinds = append(l.kinds, kind)
	}

	place := fmt.Sprintf(format, args...)
	if !slices.Contains(l.places[kind], place) {
		l.places[kind] = append(l.places[kind], place)
	}
}

// problem adds something that was not read.
func (l *looker) problem(text string) {
	text = finding.Plain(text)
	if !slices.Contains(l.problems, text) {
		l.problems = append(l.problems, text)
	}
}

// sections returns the sections of a file, and none if it is not there. A file that cannot be read
// is a problem.
func (l *looker) sections(name string) []pbxconf.Section {
	if f, known := l.files[name]; known {
		return f.sections
	}

	sections, problems, err := pbxconf.Sections(l.dir, name)
	for _, p := range problems {
		l.problem(p.String())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.problem(fmt.Sprintf("%s: cannot be read: %s", name, cause(err)))
	}
	l.files[name] = file{sections, err == nil}
	return sections
}

// has reports whether a file was read.
func (l *looker) has(name string) bool {
	l.sections(name)
	return l.files[name].found
}

// general returns the [general] section of a file.
func (l *looker) general(name string) pbxconf.Section { return pbxconf.General(l.sections(name)) }

// result returns the findings.
func (l *looker) result() Result {
	r := Result{Problems: l.problems, Accounts: l.commonAccounts()}
	for _, kind := range l.kinds {
		r.Findings = append(r.Findings, finding.New(kind, seen(len(l.places[kind])),
			l.places[kind]...))
	}
	finding.Sort(r.Findings)
	return r
}

// commonAccounts returns the accounts that the driver at any port has.
func (l *looker) commonAccounts() []string {
	switch {
	case len(l.sipNames) == 0:
		return l.pjsipNames
	case len(l.pjsipNames) == 0:
		return l.sipNames
	}
	return slices.DeleteFunc(slices.Clone(l.sipNames), func(name string) bool {
		return !slices.Contains(l.pjsipNames, name)
	})
}

// seen returns how often something was found.
func seen(n int) string {
	if n == 1 {
		return "in one place"
	}
	return fmt.Sprintf("in %d places", n)
}

// risks turns what pbxconf calls risks into findings.
func (l *looker) risks() {
	kinds := map[pbxconf.RiskKind]string{
		pbxconf.RiskWebManager:  "web_manager",
		pbxconf.RiskEventFilter: "event_filter",
		pbxconf.RiskIdentifier:  "identifier_order",
		pbxconf.RiskGuests:      "guests",
		pbxconf.RiskAutoCreate:  "auto_create_peers",
		pbxconf.RiskIAX:         "iax",
	}
	for _, r := range l.conf.Risks {
		if kind, ok := kinds[r.Kind]; ok {
			l.add(kind, "%s", r.Where)
		}
	}
}

// cause returns what is wrong with a file, without its name.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// at returns the place of a section.
func at(s pbxconf.Section) string { return fmt.Sprintf("%s (%s)", s.Name(), s.Where()) }
