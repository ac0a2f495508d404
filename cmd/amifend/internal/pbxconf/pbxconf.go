// Package pbxconf reads from the configuration of an Asterisk what matters for attacks: its trunks,
// which must not be banned, the ports where calls arrive, and settings that hide attacks.
//
// The input is a folder of config files, see [Read]. For trunks alone it may be the output of
// Asterisk's command line, see [Commands] and [FromCLI]. Objects in a database (realtime), and
// objects that were created at run time, are in no file. If the files name a database, a [Problem]
// reports that. The command line shows such objects too.
//
// The package executes nothing and resolves no names. No result holds a password, except a [Setting]
// and a [ManagerUser], which no print shows.
package pbxconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Trunk is one address, network or name that calls come from or go to.
type Trunk struct {
	Prefix netip.Prefix // masked; invalid if Host is a name
	Host   string       // a name that the caller resolves; "" if there is a Prefix
	Where  string       // the place, such as "pjsip.conf:12 [itsp] type=identify match"
}

// Problem is something that may hide a trunk or a risk.
type Problem struct {
	Where string // a file, with its line where there is one
	Text  string
}

// String returns the place and the text.
func (p Problem) String() string { return p.Where + ": " + p.Text }

// Risk is a setting that hides attacks from amifend, or lets strangers in.
type Risk struct {
	Kind  RiskKind
	Where string // a file and line, the section and the key
	Text  string // what the setting does
	Do    string // what to write instead
}

// RiskKind names the cause of a Risk.
type RiskKind string

// The kinds.
const (
	RiskWebManager  RiskKind = "web_manager"       // webenabled of manager.conf
	RiskEventFilter RiskKind = "event_filter"      // an event filter of amifend's manager user
	RiskIdentifier  RiskKind = "identifier_order"  // auth_username in endpoint_identifier_order
	RiskGuests      RiskKind = "guests"            // callers without an account
	RiskAutoCreate  RiskKind = "auto_create_peers" // accounts made by their first request
	RiskIAX         RiskKind = "iax"               // IAX2, which raises no events
)

// Listener is a port where Asterisk takes calls from other machines.
type Listener struct {
	Where   string
	Network string // udp or tcp
	Port    uint16

	WebSocket bool // a port of the HTTP server, which serves SIP over WebSocket
}

// Config is the result of reading a folder.
type Config struct {
	Trunks    []Trunk // in the order of the files; an address may come several times
	Problems  []Problem
	Risks     []Risk
	Listeners []Listener
	Manager   bool // manager.conf was read, so Risks are complete for it
	Realtime  bool // some objects come from a database, which Problems name
}

// Options select what to look for.
type Options struct {
	Dir string // the folder of Asterisk's config files, usually /etc/asterisk
	// Users are the manager users as which amifend logs in. Only their event filters are checked.
	// If manager.conf has none of them, the filters of all users that read security events are.
	Users []string
}

// callFiles are the files that name trunks. At least one must be readable.
func (f *finder) callFiles() []callFile {
	return []callFile{
		{"pjsip.conf", pjsipModules(), f.pjsip},
		{"pjsip_wizard.conf", pjsipModules(), f.wizard},
		{"sip.conf", []string{"chan_sip"}, f.sip},
		{"iax.conf", []string{"chan_iax2"}, f.iax},
	}
}

// callFile is a file that names trunks, with the modules that read it.
type callFile struct {
	name    string
	modules []string
	read    func(*section)
}

// pjsipModules returns the modules without which pjsip.conf has no effect.
func pjsipModules() []string { return []string{"res_pjsip", "chan_pjsip"} }

// Read reads the config files of a folder with all that they include. Broken parts of the files
// become Problems, and the rest is read. It is an error if no file that names trunks is readable.
func Read(o Options) (*Config, error) {
	if st, err := os.Stat(o.Dir); err != nil {
		return nil, fmt.Errorf("open the folder of Asterisk's config: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("open the folder of Asterisk's config: %s is not a folder", o.Dir)
	}

	f := &finder{dir: o.Dir, modules: readModules(o.Dir)}
	var causes []string
	files := f.callFiles()

	for _, file := range files {
		sections, err := f.sections(file.name)
		if err != nil {
			causes = append(causes, file.name+": "+cause(err))
			continue
		}

		f.peers = staticPeers(sections)
		for _, s := range sections {
			file.read(s)
		}

		// While the module of a file is not loaded, nobody can attack through it. Its trunks count
		// nevertheless, because the module may be loaded later.
		if f.modules.loaded(file.modules...) {
			f.risks(file.name, sections)
			f.ports(file.name, sections)
		}
	}

	if len(causes) == len(files) {
		return nil, fmt.Errorf("read Asterisk's config in %s: %s", o.Dir,
			strings.Join(causes, "; "))
	}

	f.http()
	f.realtime()
	f.manager(o.Users)
	return &f.Config, nil
}

// sections reads a file and returns its sections without templates. An unreadable file is a
// Problem; a missing one is not.
func (f *finder) sections(name string) ([]*section, error) {
	sections, problems, err := readConfig(f.dir, name)
	f.Problems = append(f.Problems, problems...)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.Problems = append(f.Problems, Problem{name, cause(err)})
		}
		return nil, err
	}

	return slices.DeleteFunc(sections, func(s *section) bool { return s.template }), nil
}

// cause returns what is wrong with a file, without its name.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}
